/* uart.h: a serial line, 115,200 baud, 8 data bits, no parity, 1 stop bit. Replace uart.c for your board. */
#ifndef UART_H
#define UART_H

/* Switches the line on. */
void uart_start(void);

/* Waits for the next byte of the line; returns it as 0 to 255. */
int uart_read(void);

/* Sends a byte, after waiting until there is room for it. */
void uart_write(char byte);

#endif
