/* A plugin for QEMU's code generator: what one inference reads from flash, layer by layer, and what of that the
 * cache in front of the flash does not hold; and how long it waits for slow RAM, as if no cache held any of it.
 *
 *   -plugin file=traffic.so,regions=FILE,counts=FILE,low=HEX,high=HEX,line=BYTES,word=BYTES,
 *           code_lines=N,code_ways=N,data_lines=N,data_ways=N,unified=0|1[,slow=HEX-HEX-N]...
 *
 * `regions` is the file that edgeprune/emulate/plugin/plugin.c describes. [low, high) is flash. A cache has lines of
 * `line` bytes, replaces the one used longest ago and is filled by words of `word` bytes, as they are needed; zero
 * lines are no cache, zero ways are all of them. Without a cache for code, the word read last is held. Each `slow` is RAM
 * from the first address to below the second, of which an access waits N cycles.
 *
 * `counts` is written when QEMU ends: "traffic 1 STATE", then one line per region
 *     SEQUENTIAL_MISSES OTHER_MISSES DATA_MISSES LOADS LOAD_BYTES UNALIGNED RAM_WAITS
 * where a miss of code is sequential if it is of the word behind the one fetched before, and unaligned accesses are
 * those to any memory.
 *
 * What it uses of QEMU's interface is the same in versions 1 and 2 (QEMU 6.0 and later). The machines have one
 * processor.
 */
#define _GNU_SOURCE /* RTLD_DEFAULT */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "cache.h"
#include "qemu.h"

/* ---- Regions ----------------------------------------------------------------------------------------------- */

typedef struct {
    uint64_t sequential_misses;
    uint64_t other_misses;
    uint64_t data_misses;
    uint64_t loads;
    uint64_t load_bytes;
    uint64_t unaligned;
    uint64_t ram_waits;
} traffic_t;

#define WORD_BYTES 4U /* that a core takes from memory at once */
#define MAX_RUN_RANGES 16U
#define MAX_SLOW_RANGES 16U

typedef struct {
    uint64_t low;
    uint64_t high;
} range_t;

static cache_t code_cache;
static cache_t data_cache;
static bool unified;
static range_t flash;
static range_t slow_ranges[MAX_SLOW_RANGES];
static uint64_t slow_waits[MAX_SLOW_RANGES];
static size_t slow_range_count;
static uint64_t start_address;
static uint64_t stop_address;
static range_t run_ranges[MAX_RUN_RANGES];
static size_t run_range_count;
static uint64_t *layer_entries;
static size_t layer_count;
static traffic_t *traffic; /* of `run`, and of each layer */

static enum { UNSTARTED, UNFINISHED, WHOLE } state = UNSTARTED;
static const char *const state_names[] = { "unstarted", "unfinished", "whole" };
static size_t region;
static bool *layers_begun;
static uint64_t last_word;
static const void *last_instruction; /* that accessed memory, in the block being run */
static uint64_t next_address;        /* behind what it accessed */
static const char *counts_path;

typedef struct {
    range_t code;
    char places[]; /* one for each instruction, which its address stands for */
} block_t;

static bool within(range_t range, uint64_t address)
{
    return address >= range.low && address < range.high;
}

static bool in_run(uint64_t address)
{
    for (size_t i = 0; i < run_range_count; i++) {
        if (within(run_ranges[i], address)) {
            return true;
        }
    }
    return false;
}

static void cross_border(uint64_t address)
{
    if (state == UNSTARTED && address == start_address) {
        state = UNFINISHED;
    } else if (state == UNFINISHED && address == stop_address) {
        state = WHOLE;
    } else if (state == UNFINISHED && in_run(address)) {
        region = 0;
    } else if (region == 0) {
        for (size_t i = 0; i < layer_count; i++) {
            if (layer_entries[i] == address) {
                layers_begun[i] = true;
                region = i + 1;
            }
        }
    }
}

static bool all_layers_begun(void)
{
    for (size_t i = 0; i < layer_count; i++) {
        if (!layers_begun[i]) {
            return false;
        }
    }
    return true;
}

/* ---- Accesses ---------------------------------------------------------------------------------------------- */

static void fetch(range_t code)
{
    for (uint64_t word = code.low / word_bytes; word <= (code.high - 1) / word_bytes; word++) {
        const bool missing = code_cache.lines != NULL ? misses(&code_cache, word * word_bytes) : word != last_word;
        if (missing && word == last_word + 1) {
            traffic[region].sequential_misses++;
        } else if (missing) {
            traffic[region].other_misses++;
        }
        last_word = word;
    }
}

static void on_block(unsigned int processor, void *data)
{
    const block_t *block = data;
    (void)processor;
    last_instruction = NULL;
    if (state != WHOLE) {
        cross_border(block->code.low);
    }
    if (state == UNFINISHED && within(flash, block->code.low)) {
        fetch(block->code);
    }
}

/* Whether an instruction goes on in the word that it has accessed: a vector's elements are reported one by one. */
static bool goes_on(const void *instruction, uint64_t address, uint64_t bytes)
{
    const bool same = instruction == last_instruction && address == next_address && address % WORD_BYTES != 0;
    last_instruction = instruction;
    next_address = address + bytes;
    return same;
}

static void on_memory(unsigned int processor, qemu_plugin_meminfo_t info, uint64_t address, void *data)
{
    cache_t *cache = unified ? &code_cache : &data_cache;
    const uint64_t bytes = (uint64_t)1 << qemu_plugin_mem_size_shift(info);
    (void)processor;
    if (state != UNFINISHED) {
        return;
    }
    const bool same = goes_on(data, address, bytes);
    traffic[region].unaligned += (address & (bytes - 1)) != 0;
    for (size_t i = 0; i < slow_range_count && !same; i++) {
        traffic[region].ram_waits += within(slow_ranges[i], address) ? slow_waits[i] : 0;
    }
    if (!qemu_plugin_mem_is_store(info) && within(flash, address)) {
        traffic[region].loads += !same;
        traffic[region].load_bytes += bytes;
        traffic[region].data_misses += cache->lines != NULL && misses(cache, address);
    }
}

static void on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    const size_t instructions = qemu_plugin_tb_n_insns(tb);
    block_t *block = malloc(sizeof *block + instructions);
    (void)id;
    if (block == NULL) {
        abort();
    }
    block->code = (range_t){ qemu_plugin_tb_vaddr(tb), qemu_plugin_tb_vaddr(tb) };
    for (size_t i = 0; i < instructions; i++) {
        struct qemu_plugin_insn *instruction = qemu_plugin_tb_get_insn(tb, i);
        block->code.high += qemu_plugin_insn_size(instruction);
        qemu_plugin_register_vcpu_mem_cb(instruction, on_memory, QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_MEM_RW,
                                         block->places + i);
    }
    qemu_plugin_register_vcpu_tb_exec_cb(tb, on_block, QEMU_PLUGIN_CB_NO_REGS, block);
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
    fprintf(file, "traffic 1 %s\n", state == WHOLE && !all_layers_begun() ? "disordered" : state_names[state]);
    for (size_t i = 0; i <= layer_count; i++) {
        const traffic_t *t = &traffic[i];
        fprintf(file, "%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
                t->sequential_misses, t->other_misses, t->data_misses, t->loads, t->load_bytes, t->unaligned,
                t->ram_waits);
    }
    fclose(file);
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
        } else if (sscanf(line, "run %" SCNx64 " %" SCNx64, &low, &high) == 2 && run_range_count < MAX_RUN_RANGES) {
            run_ranges[run_range_count++] = (range_t){ low, high };
        } else if (sscanf(line, "layer %" SCNx64, &low) == 1) {
            uint64_t *more = realloc(layer_entries, (layer_count + 1) * sizeof *more);
            good = more != NULL;
            if (good) {
                layer_entries = more;
                layer_entries[layer_count++] = low;
            }
        } else {
            good = false;
        }
    }
    fclose(file);
    return good;
}

static bool read_slow(const char *text)
{
    range_t range;
    uint64_t waits;
    if (slow_range_count == MAX_SLOW_RANGES
        || sscanf(text, "%" SCNx64 "-%" SCNx64 "-%" SCNu64, &range.low, &range.high, &waits) != 3) {
        return false;
    }
    slow_ranges[slow_range_count] = range;
    slow_waits[slow_range_count++] = waits;
    return true;
}

int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
    static const char *const names[] = { "low",       "high",       "line",      "word",   "code_lines",
                                         "code_ways", "data_lines", "data_ways", "unified" };
    enum { LOW, HIGH, LINE, WORD, CODE_LINES, CODE_WAYS, DATA_LINES, DATA_WAYS, UNIFIED, NAMES };
    uint64_t values[NAMES] = { 0 };
    const char *regions_path = NULL;
    bool good = true;
    (void)info;
    for (int i = 0; i < argc; i++) {
        const char *value = strchr(argv[i], '=');
        const size_t length = value == NULL ? 0 : (size_t)(value - argv[i]);
        if (length == 7 && strncmp(argv[i], "regions", 7) == 0) {
            regions_path = value + 1;
        } else if (length == 6 && strncmp(argv[i], "counts", 6) == 0) {
            counts_path = strdup(value + 1);
        } else if (length == 4 && strncmp(argv[i], "slow", 4) == 0) {
            good = good && read_slow(value + 1);
        }
        for (size_t j = 0; j < NAMES; j++) {
            if (length == strlen(names[j]) && strncmp(argv[i], names[j], length) == 0) {
                values[j] = strtoull(value + 1, NULL, j == LOW || j == HIGH ? 16 : 10);
            }
        }
    }
    flash = (range_t){ values[LOW], values[HIGH] };
    line_bytes = values[LINE];
    word_bytes = values[WORD];
    unified = values[UNIFIED] != 0;
    if (!good || regions_path == NULL || counts_path == NULL || line_bytes == 0 || word_bytes == 0 || !read_regions(regions_path)
        || !make_cache(&code_cache, values[CODE_LINES], values[CODE_WAYS])
        || !make_cache(&data_cache, values[DATA_LINES], values[DATA_WAYS])
        || (traffic = calloc(layer_count + 1, sizeof *traffic)) == NULL
        || (layers_begun = calloc(layer_count + 1, sizeof *layers_begun)) == NULL) {
        fprintf(stderr, "plugin: the memories or the regions are not described\n");
        return 1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    qemu_plugin_register_atexit_cb(id, on_exit_of_qemu, NULL);
    return 0;
}
