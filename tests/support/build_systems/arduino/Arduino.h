/* What Arduino gives a sketch, as far as the example uses it: a serial line, here the program's output. */
#include <stdio.h>

struct SerialLine {
    void begin(unsigned long)
    {
    }
    explicit operator bool() const
    {
        return true;
    }
    void println(const char *text)
    {
        puts(text);
    }
};
static SerialLine Serial;

void setup();
void loop();

int main()
{
    setup();
    return 0;
}
