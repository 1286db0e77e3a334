/* console.h: lines of text over the serial line. */
#ifndef CONSOLE_H
#define CONSOLE_H

/* Sends a text; a newline goes out as carriage return and line feed. */
void console_print(const char *text);

/* Sends a number in decimal. */
void console_print_number(int number);

/* Waits for a line and stores it without its end, closed by a zero. Returns its length, or -1 if it has `size`
 * characters or more: then nothing of it is stored. Either of carriage return and line feed ends a line; empty lines
 * count. */
int console_read_line(char *line, int size);

#endif
