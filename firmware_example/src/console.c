/* console.c: lines of text over the serial line, without the C library's stdio. */
#include "console.h"

#include "uart.h"

void console_print(const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '\n') {
            uart_write('\r');
        }
        uart_write(*text);
    }
}

void console_print_number(int number)
{
    char digits[12];
    int at = sizeof digits - 1;
    unsigned int rest = number < 0 ? 0U - (unsigned int)number : (unsigned int)number;
    digits[at] = '\0';
    do {
        digits[--at] = (char)('0' + (int)(rest % 10U));
        rest /= 10U;
    } while (rest != 0U);
    if (number < 0) {
        digits[--at] = '-';
    }
    console_print(&digits[at]);
}

int console_read_line(char *line, int size)
{
    int length = 0;
    for (;;) {
        const int byte = uart_read();
        if (byte == '\r' || byte == '\n') {
            break;
        }
        if (length < size) {
            line[length] = (char)byte;
        }
        length += length < size ? 1 : 0;
    }
    if (length >= size) {
        line[0] = '\0';
        return -1;
    }
    line[length] = '\0';
    return length;
}
