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
 *     straight LOW HIGH  the same, if nothing but that branch leaves it
 *                      No loop begins where another ends.
 *
 * `counts` is written when QEMU ends.
 *     counts 1 STATE   whole; or why not: unstarted, unfinished, disordered, strayed, full
 *     REGION ADDRESS BYTES INSTRUCTIONS EXECUTIONS TAKEN
 * one line for every block and region in which it ran, ADDRESS in hexadecimal; region 0 is `run`, region k the
 * k-th layer. TAKEN says how often execution went on elsewhere than behind the block. How it counts: counting.h.
 *
 * The machines have one processor, so that nothing here runs twice at a time.
 */
#define _GNU_SOURCE /* RTLD_DEFAULT */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "blocks.h"
#include "counting.h"
#include "qemu.h"
#include "regions.h"

static add_to_pointer_t add_to_pointer;
static add_to_score_t add_to_score;
static new_scoreboard_t new_scoreboard;
static data_of_t data_of;
static copy_data_of_t copy_data_of;

#define SCORES 8192U
static size_t scores_used;

static const char *counts_path;
static bool riscv;
static bool copies_data;

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

static void add_new_block(block_t *block)
{
    const bool may_add = (scoreboard == NULL || scores_used < SCORES) && !is_border(block->address);
    loop_t *loop = may_add ? loop_around(block) : NULL;
    block->tight = loop != NULL && join_loop(block, loop);
    if (!block->tight) {
        block->loop = loop_left_to(block->address);
    } else if (scoreboard != NULL) {
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
    block_t *block = find_block(address, end, instructions, layers.count + 1);
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
