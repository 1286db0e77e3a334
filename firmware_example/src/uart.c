/* uart.c: UART 0 of Arm's MPS2 board, a CMSDK APB UART (Cortex-M System Design Kit Technical Reference Manual, 4.3). */
#include "uart.h"

#include <stdint.h>

#define CLOCK_HZ 25000000U
#define BAUD 115200U

#define REGISTER(offset) (*(volatile uint32_t *)(0x40004000U + (offset)))
#define DATA REGISTER(0x00U)
#define STATE REGISTER(0x04U)
#define CONTROL REGISTER(0x08U)
#define BAUD_DIVIDER REGISTER(0x10U)

#define STATE_TRANSMITTER_FULL 1U
#define STATE_RECEIVER_FULL 2U
#define CONTROL_TRANSMIT_AND_RECEIVE 3U

void uart_start(void)
{
    BAUD_DIVIDER = (CLOCK_HZ + BAUD / 2U) / BAUD;
    CONTROL = CONTROL_TRANSMIT_AND_RECEIVE;
}

int uart_read(void)
{
    while ((STATE & STATE_RECEIVER_FULL) == 0U) {
    }
    return (int)(DATA & 0xFFU);
}

void uart_write(char byte)
{
    while ((STATE & STATE_TRANSMITTER_FULL) != 0U) {
    }
    DATA = (uint8_t)byte;
}
