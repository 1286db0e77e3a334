/* A plugin for QEMU's code generator: how often each block of code ran in one inference, layer by layer, and how
 * often the branch at its end was taken.
 *
 *   -plugin file=plugin.so,regions=FILE,counts=FILE
 *
 * `regions` is read: what to count, one item a line, numbers in hexadecimal.
 *     start ADDRESS    entry of the library's `run`; counting starts the first time it is reached
 *     stop ADDRESS     where `run` returns to; counting ends there
 *     run LOW HIGH     the code of `run` itself, HIGH excluded; there may be several
 *     layer ADDRESS    entry of a layer's function; layers run once each, in the order of these lines
 *     loop LOW HIGH    code that ends with a conditional branch back to its beginning
 *
 * `counts` is written when QEMU ends.
 *     counts 1 STATE   whole; or why not: unstarted, unfinished, disordered, strayed, full
 *     REGION ADDRESS BYTES INSTRUCTIONS EXECUTIONS TAKEN
 * one line for every block and region in which it ran, ADDRESS in hexadecimal; region 0 is `run`, region k the
 * k-th layer. TAKEN says how often execution went on elsewhere than behind the block.
 *
 * How it counts. A block that starts calls this file, which compares its address with the end of the block
 * that called before: that tells whether a branch was taken, and which region runs. A call costs more than a
 * short block, so blocks whose way is known are quiet: QEMU adds 1 to their counter in the code it generates.
 *   - A straight piece: QEMU cut a line of code where no branch is. It is left to the address behind it.
 *   - The end of a tight loop, whose other pieces are straight: it is left to the loop's beginning, and thus back
 *     to itself, until it is left to the address behind it.
 * Hence the way from one call to the next is a line of quiet blocks, in which each loop is left once. `explain`
 * follows it backwards: of a loop's end that ran n times, n - 1 executions went back. An execution of a quiet block
 * to which no quiet block led is the one to which the block went that called last; there is just one on the way,
 * or the counts are given up as strayed.
 *
 * The machines have one processor, so that nothing here runs twice at a time.
 */
#define _GNU_SOURCE /* RTLD_DEFAULT */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "instructions.h"
#include "qemu.h"

static add_to_pointer_t add_to_pointer;
static add_to_score_t add_to_score;
static new_scoreboard_t new_scoreboard;
static sum_of_scores_t sum_of_scores;

/* ---- Blocks ------------------------------------------------------------------------------------------------ */

typedef struct {
    uint64_t executions;
    uint64_t taken;
} count_t;

typedef struct block block_t;

/* An address at which blocks begin or end. */
typedef struct place {
    uint64_t address;
    block_t *blocks;         /* that begin here */
    block_t *quiet;          /* quiet blocks that end here */
    block_t *loop;           /* the quiet end of the loop that begins here */
    struct place *next_in_bucket;
} place_t;

struct block {
    /* What every call looks at comes first, in one line of the cache. */
    _Alignas(64) uint64_t address;
    uint64_t end;
    place_t *here;
    count_t total;           /* since QEMU started */
    count_t booked;          /* what of the total belongs to a region already, or to none */
    count_t *counts;         /* one per region */
    size_t instructions;
    enum { CALLING, STRAIGHT, LOOPING } way; /* the latter two are quiet */
    uint64_t rounds;         /* of a quiet block: where version 1 adds */
    qemu_plugin_u64 score;   /* the same: where version 2 adds */
    uint64_t seen;           /* what of these rounds is in `total` already */
    uint64_t gained;         /* what the last look at them added */
    block_t *next_here;      /* begins at the same address */
    block_t *next_quiet;     /* ends at the same address */
    block_t *next;
};

#define BUCKETS 16384U
#define SCORES 8192U

static place_t *buckets[BUCKETS];
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
static size_t layers_begun;

static const char *counts_path;
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

static const range_t *loop_that_ends_at(uint64_t end)
{
    for (size_t i = 0; i < loops.count; i++) {
        if (loops.ranges[i].high == end) {
            return &loops.ranges[i];
        }
    }
    return NULL;
}

/* ---- Counting ---------------------------------------------------------------------------------------------- */

/* Without a branch: whether the emulated code's is taken cannot be foreseen. */
static inline void leave_previous_to(uint64_t address)
{
    previous->total.taken += previous->end != address;
}

static uint64_t rounds_of(const block_t *quiet)
{
    return scoreboard != NULL ? sum_of_scores(quiet->score) : quiet->rounds;
}

/* Counts the quiet blocks that led to a place, at which `arrivals` executions began since the last call. */
static void explain(const place_t *place, uint64_t arrivals)
{
    if (place->loop != NULL && place->loop->gained != 0) {
        arrivals -= place->loop->gained - 1;
    }
    for (block_t *block = place->quiet; block != NULL; block = block->next_quiet) {
        const uint64_t rounds = rounds_of(block);
        const uint64_t gained = rounds - block->seen;
        if (gained != 0) {
            const uint64_t left = block->way == LOOPING ? 1 : gained;
            block->seen = rounds;
            block->total.executions += gained;
            block->total.taken += gained - left;
            arrivals -= left;
            block->gained = gained;
            explain(block->here, gained);
            block->gained = 0;
        }
    }
    if (arrivals == 1) {
        leave_previous_to(place->address);
    } else if (arrivals != 0) {
        state = STRAYED;
    }
}

static inline void count_block(block_t *block)
{
    block->total.executions++;
    previous = block;
}

/* Out of line, so that the many calls of blocks to which no quiet one leads save no registers. */
__attribute__((noinline)) static void on_block_behind_quiet(block_t *block)
{
    explain(block->here, 1);
    count_block(block);
}

static void on_block(unsigned int processor, void *data)
{
    block_t *block = data;
    (void)processor;
    if (block->here->quiet != NULL) {
        on_block_behind_quiet(block);
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

/* Whether every quiet block was left as this file supposes. */
static bool all_quiet_counted(void)
{
    for (const block_t *block = blocks; block != NULL; block = block->next) {
        if (block->way != CALLING && rounds_of(block) != block->seen) {
            return false;
        }
    }
    return true;
}

static void finish(void)
{
    book(true);
    if (layers_begun != layers.count) {
        state = DISORDERED;
    } else if (!all_quiet_counted()) {
        state = STRAYED;
    } else {
        state = WHOLE;
    }
}

static void begin_layer_at(uint64_t address)
{
    if (layers_begun < layers.count && layers.ranges[layers_begun].low == address) {
        layers_begun++;
        begin_region(layers_begun);
    } else {
        state = DISORDERED;
    }
}

static void on_border(unsigned int processor, void *data)
{
    block_t *block = data;
    const uint64_t address = block->address;
    (void)processor;
    explain(block->here, 1);
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

/* The record of an address; NULL: memory is full. */
static place_t *find_place(uint64_t address)
{
    place_t **const bucket = &buckets[(size_t)((address >> 1) * 2654435761U) % BUCKETS];
    place_t *place = *bucket;
    while (place != NULL && place->address != address) {
        place = place->next_in_bucket;
    }
    if (place == NULL) {
        place = calloc(1, sizeof *place);
        if (place != NULL) {
            place->address = address;
            place->next_in_bucket = *bucket;
            *bucket = place;
        }
    }
    return place;
}

static block_t *find_block(const place_t *here, uint64_t end, size_t instructions)
{
    block_t *block = here->blocks;
    while (block != NULL && (block->end != end || block->instructions != instructions)) {
        block = block->next_here;
    }
    return block;
}

static block_t *new_block(place_t *here, uint64_t end, size_t instructions)
{
    count_t *counts = calloc(layers.count + 1, sizeof *counts);
    block_t *block = aligned_alloc(_Alignof(block_t), sizeof *block);
    if (block == NULL || counts == NULL) {
        free(block);
        free(counts);
        return NULL;
    }
    memset(block, 0, sizeof *block);
    block->address = here->address;
    block->end = end;
    block->here = here;
    block->instructions = instructions;
    block->counts = counts;
    block->next_here = here->blocks;
    here->blocks = block;
    block->next = blocks;
    blocks = block;
    return block;
}

/* Whether straight pieces lead from one address to another. */
static bool leads_straight(uint64_t from, uint64_t to)
{
    while (from < to) {
        const place_t *place = find_place(from);
        if (place == NULL || place->blocks == NULL || place->blocks->way != STRAIGHT || is_border(from)) {
            return false;
        }
        from = place->blocks->end;
    }
    return from == to;
}

static void make_quiet(block_t *block, bool straight)
{
    place_t *behind = find_place(block->end);
    const range_t *loop = straight ? NULL : loop_that_ends_at(block->end);
    place_t *begin = NULL;
    if (behind == NULL || is_border(block->address) || (scoreboard != NULL && scores_used == SCORES)) {
        return;
    }
    if (!straight) {
        begin = loop != NULL && leads_straight(loop->low, block->address) ? find_place(loop->low) : NULL;
        if (begin == NULL || begin->loop != NULL) {
            return;
        }
        begin->loop = block;
    }
    block->way = straight ? STRAIGHT : LOOPING;
    block->next_quiet = behind->quiet;
    behind->quiet = block;
    if (scoreboard != NULL) {
        block->score = (qemu_plugin_u64){ scoreboard, scores_used * sizeof(uint64_t) };
        scores_used++;
    }
}

static void on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    const size_t instructions = qemu_plugin_tb_n_insns(tb);
    const struct qemu_plugin_insn *last = qemu_plugin_tb_get_insn(tb, instructions - 1);
    const size_t length = length_of(last);
    const uint64_t end = qemu_plugin_insn_vaddr(last) + length;
    place_t *here = find_place(qemu_plugin_tb_vaddr(tb));
    block_t *block = here != NULL ? find_block(here, end, instructions) : NULL;
    (void)id;
    if (here != NULL && block == NULL) {
        block = new_block(here, end, instructions);
        if (block != NULL) {
            make_quiet(block, goes_on(last, length));
        }
    }
    if (block == NULL) {
        state = FULL;
    } else if (is_border(block->address)) {
        qemu_plugin_register_vcpu_tb_exec_cb(tb, on_border, QEMU_PLUGIN_CB_NO_REGS, block);
    } else if (block->way == CALLING) {
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
    learn_instructions(info);
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
