/* startup.c: what a Cortex-M4 does between reset and main: floating point, initial values, vectors. */
#include <stdint.h>

extern uint32_t data_start[], data_end[], data_image[];
extern uint32_t bss_start[], bss_end[];
extern uint32_t stack_top[];

int main(void);
void Reset_Handler(void);
void Default_Handler(void);

/* Stays here for a debugger to find. */
void Default_Handler(void)
{
    for (;;) {
        __asm__ volatile("nop");
    }
}

void Reset_Handler(void)
{
    /* Coprocessor access control (Armv7-M Architecture Reference Manual, B3.2.20): CP10 and CP11 are the FPU. */
    *(volatile uint32_t *)0xE000ED88U |= 0xFU << 20;
    __asm__ volatile("dsb\nisb" : : : "memory");

    const uint32_t *image = data_image;
    for (volatile uint32_t *word = data_start; word < data_end; word++) {
        *word = *image++;
    }
    for (volatile uint32_t *word = bss_start; word < bss_end; word++) {
        *word = 0;
    }
    (void)main();
    Default_Handler();
}

/* Exceptions 1 to 15; this firmware enables no interrupt, and a fault becomes a hard fault. */
typedef void (*handler_t)(void);
struct vectors {
    uint32_t *stack;
    handler_t handlers[15];
};
const struct vectors vectors __attribute__((section(".vectors"), used)) = {
    stack_top,
    {
        Reset_Handler, Default_Handler, Default_Handler, Default_Handler, Default_Handler,
        Default_Handler, Default_Handler, Default_Handler, Default_Handler, Default_Handler,
        Default_Handler, Default_Handler, Default_Handler, Default_Handler, Default_Handler,
    },
};
