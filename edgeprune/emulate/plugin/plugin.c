/* A plugin for QEMU's code generator: how often each block of code ran in one inference, layer by layer, and how
 * often the branch at its end was taken.
 *
 *   -plugin file=plugin.so,regions=FILE,counts=FILE
 *
 * `regions` is read: what to count, one item a line, numbers in hexadecimal.
 *     start ADDRESS    entry of the library's `run`; counting starts the first time it is reached
 *     stop ADDRESS     where `run` returns to; counting ends there
 *     run LOW HIGH     the code of `run` itself, HIGH excluded; there may be several
 *     layer ADDRESS    entry of a layer's function; each runs at least once, those of a stage once for each row
 *     loop LOW HIGH    code that ends with a conditional branch back to its beginning
 *
 * `counts` is written when QEMU ends.
 *     counts 1 STATE   whole; or why not: unstarted, unfinished, disordered, strayed, full
 *     REGION ADDRESS BYTES INSTRUCTIONS EXECUTIONS TAKEN
 * one line for every block and region in which it ran, ADDRESS in hexadecimal; region 0 is `run`, region k the
 * k-th layer. TAKEN says how often execution went on elsewhere than behind the block.
 *
 * How it counts. A block that starts calls this file, which compares its address with the end of the block
 * before: that tells whether a branch was taken, and which region runs. The blocks of tight loops, where the time
 * goes, do not call: QEMU adds 1 to their counter in the code it generates. They are left only to the address
 * behind them, and the block there calls: what their counter gained since the last time is one visit, all of it
 * but the last by the branch taken.
 *
 * The machines have one processor, so that nothing here runs twice at a time.
 */
#define _GNU_SOURCE /* RTLD_DEFAULT */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "qemu.h"

static add_to_pointer_t add_to_pointer;
static add_to_score_t add_to_score;
static new_scoreboard_t new_scoreboard;
static sum_of_scores_t sum_of_scores;
static data_of_t data_of;
static copy_data_of_t copy_data_of;

/* ---- Blocks ------------------------------------------------------------------------------------------------ */

typedef struct {
    uint64_t executions;
    uint64_t taken;
} count_t;

typedef struct block {
    /* What every call looks at comes first, in one line of the cache. */
    _Alignas(64) uint64_t address;
    uint64_t end;
    struct block *loop;      /* the tight loop that is left to this block, if there is one */
    count_t total;           /* since QEMU started */
    count_t booked;          /* what of the total belongs to a region already, or to none */
    count_t *counts;         /* one per region */
    size_t instructions;
    bool tight;              /* this is a tight loop: the code that QEMU generates counts it, not a call */
    uint64_t rounds;         /* of a tight loop: where version 1 adds */
    qemu_plugin_u64 score;   /* the same: where version 2 adds */
    uint64_t seen;           /* what of these rounds is in `total` already */
    struct block *next_in_bucket;
    struct block *next;
} block_t;

#define BUCKETS 16384U
#define SCORES 8192U

static block_t *buckets[BUCKETS];
static block_t *blocks;
static struct qemu_plugin_scoreboard *scoreboard;
static size_t scores_used;

/* ---- Regions ----------------------------------------------------------------------------------------------- */

typedef struct {
    uint64_t low;
    uint64_t high;
} range_t;

typedef struct {
    range_t *ranges;
    size_t count;
} ranges_t;

static uint64_t start_address;
static uint64_t stop_address;
static ranges_t run_code;
static ranges_t layers; /* of each, `low` is the entry */
static ranges_t loops;

static enum { UNSTARTED, UNFINISHED, WHOLE, DISORDERED, STRAYED, FULL } state = UNSTARTED;
static const char *const state_names[] = { "unstarted", "unfinished", "whole", "disordered", "strayed", "full" };
static size_t region;        /* 0 is `run`, k the k-th layer */
static bool *layers_begun;

static const char *counts_path;
static bool riscv;
static bool copies_data;
static block_t nothing;              /* what ran before the first block */
static block_t *previous = &nothing; /* the block that ran last */

static bool in_run(uint64_t address)
{
    for (size_t i = 0; i < run_code.count; i++) {
        if (address >= run_code.ranges[i].low && address < run_code.ranges[i].high) {
            return true;
        }
    }
    return false;
}

static bool is_border(uint64_t address)
{
    bool border = address == start_address || address == stop_address || in_run(address);
    for (size_t i = 0; i < layers.count; i++) {
        border = border || layers.ranges[i].low == address;
    }
    return border;
}

static bool is_loop(uint64_t address, uint64_t end)
{
    for (size_t i = 0; i < loops.count; i++) {
        if (loops.ranges[i].low == address && loops.ranges[i].high == end) {
            return true;
        }
    }
    return false;
}

/* ---- Counting ---------------------------------------------------------------------------------------------- */

/* Without a branch: whether the emulated code's is taken cannot be foreseen. */
static inline void leave_previous_to(uint64_t address)
{
    previous->total.taken += previous->end != address;
}

static uint64_t rounds_of(const block_t *loop)
{
    return scoreboard != NULL ? sum_of_scores(loop->score) : loop->rounds;
}

/* The block that a tight loop is left to starts: if the loop ran, that was one visit. Out of line, so that the
 * many calls without a loop save no registers. */
__attribute__((noinline)) static void count_visit(block_t *loop)
{
    const uint64_t rounds = rounds_of(loop);
    const uint64_t visit = rounds - loop->seen;
    if (visit != 0) {
        leave_previous_to(loop->address);
        loop->seen = rounds;
        loop->total.executions += visit;
        loop->total.taken += visit - 1;
        previous = loop;
    }
}

static inline void count_block(block_t *block)
{
    block->total.executions++;
    previous = block;
}

__attribute__((noinline)) static void on_block_behind_loop(block_t *block)
{
    count_visit(block->loop);
    leave_previous_to(block->address);
    count_block(block);
}

static void on_block(unsigned int processor, void *data)
{
    block_t *block = data;
    (void)processor;
    if (block->loop != NULL) {
        on_block_behind_loop(block);
        return;
    }
    leave_previous_to(block->address);
    count_block(block);
}

/* Books what was counted since the last time to the region that ran, or to none. */
static void book(bool counting)
{
    for (block_t *block = blocks; block != NULL; block = block->next) {
        if (counting) {
            block->counts[region].executions += block->total.executions - block->booked.executions;
            block->counts[region].taken += block->total.taken - block->booked.taken;
        }
        block->booked = block->total;
    }
}

static void begin_region(size_t next)
{
    if (next != region) {
        book(true);
        region = next;
    }
}

/* Whether every tight loop was left as this file supposes. */
static bool all_visits_counted(void)
{
    for (const block_t *block = blocks; block != NULL; block = block->next) {
        if (block->tight && rounds_of(block) != block->seen) {
            return false;
        }
    }
    return true;
}

static bool all_layers_begun(void)
{
    for (size_t i = 0; i < layers.count; i++) {
        if (!layers_begun[i]) {
            return false;
        }
    }
    return true;
}

static void finish(void)
{
    book(true);
    if (!all_layers_begun()) {
        state = DISORDERED;
    } else if (!all_visits_counted()) {
        state = STRAYED;
    } else {
        state = WHOLE;
    }
}

static void begin_layer_at(uint64_t address)
{
    for (size_t i = 0; i < layers.count; i++) {
        if (layers.ranges[i].low == address) {
            layers_begun[i] = true;
            begin_region(i + 1);
            return;
        }
    }
    state = DISORDERED;
}

static void on_border(unsigned int processor, void *data)
{
    block_t *block = data;
    const uint64_t address = block->address;
    (void)processor;
    if (block->loop != NULL) {
        count_visit(block->loop);
    }
    leave_previous_to(address);
    if (state == UNSTARTED && address == start_address) {
        book(false);
        state = UNFINISHED;
    } else if (state == UNFINISHED && address == stop_address) {
        finish();
    } else if (state == UNFINISHED && in_run(address)) {
        begin_region(0);
    } else if (state == UNFINISHED && region == 0) {
        begin_layer_at(address);
    }
    /* Else: a loop that goes back to the entry of its layer's function, or code outside the inference. */
    count_block(block);
}

/* ---- Translation ------------------------------------------------------------------------------------------- */

/* Bytes of an instruction, from its first halfword: Thumb by ARM DDI 0403E, A5.1, RISC-V by its specification,
 * section 1.5. The size that QEMU gives may include what it read ahead at the end of a page (7.2). */
static size_t length_of(const struct qemu_plugin_insn *instruction)
{
    uint8_t bytes[2] = { 0, 0 };
    if (copies_data) {
        (void)copy_data_of(instruction, bytes, sizeof bytes);
    } else {
        memcpy(bytes, data_of(instruction), sizeof bytes);
    }
    if (riscv) {
        return (bytes[0] & 3U) == 3U ? 4 : 2;
    }
    return bytes[1] >> 3 >= 0x1D ? 4 : 2;
}

static block_t *find_block(uint64_t address, uint64_t end, size_t instructions)
{
    const size_t bucket = (size_t)((address >> 1) * 2654435761U + instructions) % BUCKETS;
    block_t *block = buckets[bucket];
    while (block != NULL && (block->address != address || block->end != end || block->instructions != instructions)) {
        block = block->next_in_bucket;
    }
    if (block == NULL) {
        count_t *counts = calloc(layers.count + 1, sizeof *counts);
        block = aligned_alloc(_Alignof(block_t), sizeof *block);
        if (block == NULL || counts == NULL) {
            free(block);
            free(counts);
            return NULL;
        }
        memset(block, 0, sizeof *block);
        block->address = address;
        block->end = end;
        block->instructions = instructions;
        block->counts = counts;
        block->next_in_bucket = buckets[bucket];
        buckets[bucket] = block;
        block->next = blocks;
        blocks = block;
    }
    return block;
}

/* Notes which tight loop is left to the block, or which blocks the tight loop is left to. A tight loop must not
 * be left to another one, because that would not call. */
static void connect_loops(block_t *block)
{
    for (block_t *other = blocks; other != NULL; other = other->next) {
        if (other->tight && other->end == block->address && other != block) {
            block->loop = other;
        }
        if (block->tight && block->end == other->address && other->tight) {
            block->tight = false;
        }
    }
    if (block->loop != NULL) {
        block->tight = false;
    }
    for (block_t *other = blocks; block->tight && other != NULL; other = other->next) {
        if (block->end == other->address) {
            other->loop = block;
        }
    }
}

static void add_new_block(block_t *block)
{
    block->tight = !is_border(block->address) && is_loop(block->address, block->end);
    if (scoreboard != NULL) {
        block->tight = block->tight && scores_used < SCORES;
    }
    connect_loops(block);
    if (block->tight && scoreboard != NULL) {
        block->score = (qemu_plugin_u64){ scoreboard, scores_used * sizeof(uint64_t) };
        scores_used++;
    }
}

static void on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    const size_t instructions = qemu_plugin_tb_n_insns(tb);
    const uint64_t address = qemu_plugin_tb_vaddr(tb);
    const block_t *newest = blocks;
    const struct qemu_plugin_insn *last = qemu_plugin_tb_get_insn(tb, instructions - 1);
    const uint64_t end = qemu_plugin_insn_vaddr(last) + length_of(last);
    (void)id;
    block_t *block = find_block(address, end, instructions);
    if (block == NULL) {
        state = FULL;
        return;
    }
    if (blocks != newest) {
        add_new_block(block);
    }
    if (is_border(address)) {
        qemu_plugin_register_vcpu_tb_exec_cb(tb, on_border, QEMU_PLUGIN_CB_NO_REGS, block);
    } else if (!block->tight) {
        qemu_plugin_register_vcpu_tb_exec_cb(tb, on_block, QEMU_PLUGIN_CB_NO_REGS, block);
    } else if (scoreboard != NULL) {
        add_to_score(tb, QEMU_PLUGIN_INLINE_ADD_U64, block->score, 1);
    } else {
        add_to_pointer(tb, QEMU_PLUGIN_INLINE_ADD_U64, &block->rounds, 1);
    }
}

/* ---- Files ------------------------------------------------------------------------------------------------- */

static void on_exit_of_qemu(qemu_plugin_id_t id, void *data)
{
    FILE *file = fopen(counts_path, "w");
    (void)id;
    (void)data;
    if (file == NULL) {
        fprintf(stderr, "plugin: %s cannot be written\n", counts_path);
        return;
    }
    fprintf(file, "counts 1 %s\n", state_names[state]);
    for (const block_t *block = blocks; block != NULL; block = block->next) {
        for (size_t i = 0; i <= layers.count; i++) {
            if (block->counts[i].executions != 0) {
                fprintf(file, "%zu %" PRIx64 " %" PRIu64 " %zu %" PRIu64 " %" PRIu64 "\n", i, block->address,
                        block->end - block->address, block->instructions, block->counts[i].executions,
                        block->counts[i].taken);
            }
        }
    }
    fclose(file);
}

static bool add(ranges_t *ranges, uint64_t low, uint64_t high)
{
    range_t *more = realloc(ranges->ranges, (ranges->count + 1) * sizeof *more);
    if (more == NULL) {
        return false;
    }
    ranges->ranges = more;
    ranges->ranges[ranges->count++] = (range_t){ low, high };
    return true;
}

static bool read_regions(const char *path)
{
    char line[128];
    bool good = true;
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        return false;
    }
    while (good && fgets(line, sizeof line, file) != NULL) {
        uint64_t low;
        uint64_t high;
        if (sscanf(line, "start %" SCNx64, &low) == 1) {
            start_address = low;
        } else if (sscanf(line, "stop %" SCNx64, &low) == 1) {
            stop_address = low;
        } else if (sscanf(line, "run %" SCNx64 " %" SCNx64, &low, &high) == 2) {
            good = add(&run_code, low, high);
        } else if (sscanf(line, "layer %" SCNx64, &low) == 1) {
            good = add(&layers, low, low);
        } else if (sscanf(line, "loop %" SCNx64 " %" SCNx64, &low, &high) == 2) {
            good = add(&loops, low, high);
        } else {
            good = false;
        }
    }
    fclose(file);
    return good;
}

int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
    const char *regions_path = NULL;
    riscv = strncmp(info->target_name, "riscv", 5) == 0;
    find(&data_of, "qemu_plugin_insn_data");
    find(&copy_data_of, "qemu_plugin_insn_data");
    copies_data = info->version.cur >= 3;
    if (!riscv && strcmp(info->target_name, "arm") != 0) {
        fprintf(stderr, "plugin: cannot count code of %s\n", info->target_name);
        return 1;
    }
    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], "regions=", 8) == 0) {
            regions_path = argv[i] + 8;
        } else if (strncmp(argv[i], "counts=", 7) == 0) {
            counts_path = strdup(argv[i] + 7);
        } else {
            fprintf(stderr, "plugin: unknown argument %s\n", argv[i]);
            return 1;
        }
    }
    if (regions_path == NULL || counts_path == NULL || !read_regions(regions_path)) {
        fprintf(stderr, "plugin: the regions cannot be read\n");
        return 1;
    }
    layers_begun = calloc(layers.count + 1, sizeof *layers_begun);
    if (layers_begun == NULL) {
        fprintf(stderr, "plugin: out of memory\n");
        return 1;
    }
    find(&add_to_pointer, "qemu_plugin_register_vcpu_tb_exec_inline");
    if (add_to_pointer == NULL) {
        find(&add_to_score, "qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu");
        find(&new_scoreboard, "qemu_plugin_scoreboard_new");
        find(&sum_of_scores, "qemu_plugin_u64_sum");
        if (add_to_score == NULL || new_scoreboard == NULL || sum_of_scores == NULL) {
            fprintf(stderr, "plugin: this QEMU has neither version 1 nor version 2 of the plugin interface\n");
            return 1;
        }
        scoreboard = new_scoreboard(SCORES * sizeof(uint64_t));
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    qemu_plugin_register_atexit_cb(id, on_exit_of_qemu, NULL);
    return 0;
}
