/* Plays QEMU 9 or later to the plugin: provides version 2 of the interface, and none of version 1.
 *
 *   plugin_host PLUGIN REGIONS COUNTS API     API is the version it says it has: 2, or 3 and later
 *
 * The program it pretends to run, in Thumb: `run` at 0x100 calls a layer at 0x200, which goes through a loop of one
 * block at 0x204 ROUNDS times, then through a loop in two pieces, 0x20A and 0x20C: twice from its beginning, and
 * when the block behind it goes back to the second piece, twice from there; `run` returns to 0x300. It runs twice,
 * and once before it is counted.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 5

struct qemu_plugin_insn {
    uint64_t address;
    uint8_t bytes[4];
};
struct qemu_plugin_scoreboard {
    size_t element_bytes;
    unsigned char *elements;
};
typedef struct {
    struct qemu_plugin_scoreboard *score;
    size_t offset;
} qemu_plugin_u64;
typedef void (*exec_t)(unsigned int, void *);
struct qemu_plugin_tb {
    uint64_t address;
    size_t n;
    struct qemu_plugin_insn insns[4];
    exec_t call;
    void *data;
    bool adds;
    qemu_plugin_u64 score;
    uint64_t amount;
};
typedef struct {
    const char *target_name;
    struct { int min, cur; } version;
    bool system_emulation;
    struct { int smp_vcpus, max_vcpus; } system;
} qemu_info_t;

static void (*translate)(uint64_t, struct qemu_plugin_tb *);
static void (*at_exit)(uint64_t, void *);
static int api;

static void fail(const char *what)
{
    fprintf(stderr, "host: %s\n", what);
    exit(1);
}

void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, void (*call)(uint64_t, struct qemu_plugin_tb *))
{
    (void)id;
    translate = call;
}

void qemu_plugin_register_atexit_cb(uint64_t id, void (*call)(uint64_t, void *), void *data)
{
    (void)id;
    (void)data;
    at_exit = call;
}

void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb, exec_t call, int flags, void *data)
{
    if (flags != 0 || tb->call != NULL || tb->adds) {
        fail("a block may have one call, which reads no registers");
    }
    tb->call = call;
    tb->data = data;
}

void qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(struct qemu_plugin_tb *tb, int op, qemu_plugin_u64 score,
                                                       uint64_t amount)
{
    if (op != 0 || tb->call != NULL || tb->adds || score.offset + 8 > score.score->element_bytes) {
        fail("a block may have one addition, inside of a score's element");
    }
    tb->adds = true;
    tb->score = score;
    tb->amount = amount;
}

struct qemu_plugin_scoreboard *qemu_plugin_scoreboard_new(size_t bytes)
{
    struct qemu_plugin_scoreboard *made = malloc(sizeof *made);
    made->element_bytes = bytes;
    made->elements = calloc(1, bytes);
    return made;
}

uint64_t qemu_plugin_u64_sum(qemu_plugin_u64 score)
{
    uint64_t sum;
    memcpy(&sum, score.score->elements + score.offset, sizeof sum);
    return sum;
}

size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb)
{
    return tb->n;
}

uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb)
{
    return tb->address;
}

struct qemu_plugin_insn *qemu_plugin_tb_get_insn(struct qemu_plugin_tb *tb, size_t index)
{
    return &tb->insns[index];
}

uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn)
{
    return insn->address;
}

/* Version 2 gives a pointer, later ones copy. */
void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn, void *to, size_t bytes)
{
    if (api < 3) {
        return (void *)insn->bytes;
    }
    memcpy(to, insn->bytes, bytes);
    return (void *)(uintptr_t)bytes;
}

static void run_block(struct qemu_plugin_tb *tb)
{
    if (tb->call != NULL) {
        tb->call(0, tb->data);
    }
    if (tb->adds) {
        uint64_t sum;
        memcpy(&sum, tb->score.score->elements + tb->score.offset, sizeof sum);
        sum += tb->amount;
        memcpy(tb->score.score->elements + tb->score.offset, &sum, sizeof sum);
    }
}

int main(int argc, char **argv)
{
    /* Instructions of 2 bytes but for the last of the first block, a BL of 4. */
    static struct qemu_plugin_tb blocks[] = {
        { .address = 0x100, .n = 2, .insns = { { 0x100, { 0x00, 0xB5 } }, { 0x102, { 0x00, 0xF0, 0x7D, 0xF8 } } } },
        { .address = 0x200, .n = 2, .insns = { { 0x200, { 0x05, 0x21 } }, { 0x202, { 0x00, 0xBF } } } },
        { .address = 0x204, .n = 2, .insns = { { 0x204, { 0x01, 0x39 } }, { 0x206, { 0xFD, 0xD1 } } } },
        { .address = 0x208, .n = 1, .insns = { { 0x208, { 0x00, 0xBF } } } },
        { .address = 0x20A, .n = 1, .insns = { { 0x20A, { 0x01, 0x39 } } } },
        { .address = 0x20C, .n = 1, .insns = { { 0x20C, { 0xFD, 0xD1 } } } },
        { .address = 0x20E, .n = 1, .insns = { { 0x20E, { 0x70, 0x47 } } } },
        { .address = 0x106, .n = 1, .insns = { { 0x106, { 0x00, 0xBD } } } },
        { .address = 0x300, .n = 1, .insns = { { 0x300, { 0x00, 0xBF } } } },
    };
    char regions[512];
    char counts[512];
    char *arguments[] = { regions, counts };
    qemu_info_t info = { .target_name = "arm", .version = { 2, 0 }, .system_emulation = true };
    if (argc != 5) {
        fail("arguments");
    }
    api = atoi(argv[4]);
    info.version.cur = api;
    snprintf(regions, sizeof regions, "regions=%s", argv[2]);
    snprintf(counts, sizeof counts, "counts=%s", argv[3]);
    void *plugin = dlopen(argv[1], RTLD_NOW);
    if (plugin == NULL) {
        fail(dlerror());
    }
    if (*(int *)dlsym(plugin, "qemu_plugin_version") != 2) {
        fail("the plugin does not say version 2");
    }
    int (*install)(uint64_t, const qemu_info_t *, int, char **);
    void *symbol = dlsym(plugin, "qemu_plugin_install");
    memcpy(&install, &symbol, sizeof symbol);
    if (install(7, &info, 2, arguments) != 0 || translate == NULL || at_exit == NULL) {
        fail("the plugin does not install");
    }
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++) {
        translate(7, &blocks[i]);
    }
    /* Indices of blocks as they run in one pass, the repeated ones of the first loop apart. */
    static const size_t before_loop[] = { 0, 1 };
    static const size_t behind_loop[] = { 3, 4, 5, 4, 5, 6, 5, 4, 5, 6, 7, 8 };
    for (int pass = 0; pass < 3; pass++) {
        for (size_t i = pass == 0; i < sizeof before_loop / sizeof before_loop[0]; i++) {
            run_block(&blocks[before_loop[i]]);
        }
        for (int round = 0; round < ROUNDS; round++) {
            run_block(&blocks[2]);
        }
        for (size_t i = 0; i < sizeof behind_loop / sizeof behind_loop[0]; i++) {
            if (pass > 0 || behind_loop[i] != 7) {
                run_block(&blocks[behind_loop[i]]);
            }
        }
    }
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++) {
        const bool in_loop = i == 2 || i == 4 || i == 5;
        if (blocks[i].adds != in_loop) {
            fail("the loops alone are to be counted by additions");
        }
    }
    at_exit(7, NULL);
    return 0;
}
