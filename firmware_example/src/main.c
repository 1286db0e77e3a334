/* main.c: a console that answers images with digits.
 *
 *     image 000028FF...   64 pixels, row by row, each two hexadecimal digits: 00 is paper, FF is ink
 *     test                the network's self test
 *
 * Each line is answered by one line, and then by a prompt.
 */
#include "console.h"
#include "uart.h"

#include "digits.h"

#include <stdint.h>
#include <string.h>

#define SIDE 8
#define PIXELS (SIDE * SIDE)
#if DIGITS_INPUT_0_ELEMENTS != PIXELS
#error "The network expects images of another size."
#endif

#define IMAGE "image "
#define LINE_BYTES (sizeof IMAGE + 2 * PIXELS)

static uint64_t arena[(DIGITS_ARENA_BYTES + 7) / 8];
static digits_context_t context;

static int hex_digit(char character)
{
    if (character >= '0' && character <= '9') {
        return character - '0';
    }
    if (character >= 'A' && character <= 'F') {
        return character - 'A' + 10;
    }
    if (character >= 'a' && character <= 'f') {
        return character - 'a' + 10;
    }
    return -1;
}

/* Puts the image into the network's input, as the network was trained on it: real numbers between 0 and 1.
 * Returns 0 if the text is not an image. */
static int read_image(const char *text)
{
    int8_t *input = digits_input_0(&context);
    if (strlen(text) != 2 * PIXELS) {
        return 0;
    }
    for (int i = 0; i < PIXELS; i++) {
        const int high = hex_digit(text[2 * i]);
        const int low = hex_digit(text[2 * i + 1]);
        if (high < 0 || low < 0) {
            return 0;
        }
        input[i] = digits_quantize_input_0((float)(16 * high + low) / 255.0F);
    }
    return 1;
}

static void answer_image(const char *text)
{
    const int8_t *scores = digits_output_0(&context);
    int best = 0;
    if (!read_image(text)) {
        console_print("error: an image is 128 hexadecimal digits\n");
        return;
    }
    if (digits_run(&context) != DIGITS_OK) {
        console_print("error: the network does not run\n");
        return;
    }
    for (int i = 1; i < DIGITS_OUTPUT_0_ELEMENTS; i++) {
        best = scores[i] > scores[best] ? i : best;
    }
    console_print("digit ");
    console_print_number(best);
    console_print(", scores");
    for (int i = 0; i < DIGITS_OUTPUT_0_ELEMENTS; i++) {
        console_print(" ");
        console_print_number(scores[i]);
    }
    console_print("\n");
}

static void answer(const char *line)
{
    if (strncmp(line, IMAGE, sizeof IMAGE - 1) == 0) {
        answer_image(line + sizeof IMAGE - 1);
    } else if (strcmp(line, "test") == 0) {
        const int passes = digits_self_test(&context) == DIGITS_OK;
        console_print(passes ? "the self test passes\n" : "error: the self test fails\n");
    } else {
        console_print("error: write `image` and 128 hexadecimal digits, or `test`\n");
    }
}

int main(void)
{
    static char line[LINE_BYTES];
    uart_start();
    if (digits_init(&context, arena, sizeof arena) != DIGITS_OK) {
        console_print("error: the arena is unsuitable\n");
        return 1;
    }
    console_print("digits: send an image\n> ");
    for (;;) {
        const int length = console_read_line(line, LINE_BYTES);
        if (length < 0) {
            console_print("error: the line is too long\n");
        } else if (length > 0) {
            answer(line);
        }
        console_print("> ");
    }
}
