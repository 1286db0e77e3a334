/* How often blocks ran and were left by a branch, region by region.
 *
 * A block that starts calls this file, which compares its address with the end of the block before: that tells
 * whether a branch was taken, and which region runs. The blocks of tight loops, where the time goes, do not call:
 * QEMU adds 1 to their counter in the code it generates. They are left only to blocks that call: what their counter
 * gained since the last time is one visit, all of it but the last by the branch taken. QEMU cuts a loop that is long
 * or crosses a page into pieces; if the loop is straight they run in turn, and what each gained tells at which of
 * them the visit began.
 */
#ifndef EDGEPRUNE_COUNTING_H
#define EDGEPRUNE_COUNTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "blocks.h"
#include "qemu.h"
#include "regions.h"

static enum { UNSTARTED, UNFINISHED, WHOLE, DISORDERED, STRAYED, FULL } state = UNSTARTED;
static const char *const state_names[] = { "unstarted", "unfinished", "whole", "disordered", "strayed", "full" };
static bool strayed;         /* a loop was not left as this file supposes */
static size_t region;        /* 0 is `run`, k the k-th layer */
static bool *layers_begun;

static block_t nothing;              /* what ran before the first block */
static block_t *previous = &nothing; /* the block that ran last */

/* What QEMU adds to, in version 2. */
static struct qemu_plugin_scoreboard *scoreboard;
static sum_of_scores_t sum_of_scores;

/* Without a branch: whether the emulated code's is taken cannot be foreseen. */
static inline void leave_previous_to(uint64_t address)
{
    previous->total.taken += previous->end != address;
}

static uint64_t rounds_of(const block_t *loop)
{
    return scoreboard != NULL ? sum_of_scores(loop->score) : loop->rounds;
}

static uint64_t take_gain(block_t *piece)
{
    const uint64_t rounds = rounds_of(piece);
    const uint64_t gain = rounds - piece->seen;
    piece->seen = rounds;
    piece->total.executions += gain;
    return gain;
}

/* A block that calls starts: if the tight loop ran, that was one visit, which is over. Pieces run in turn, and the
 * last one ends the visit: those before the piece at which it began ran once less. Out of line, so that the many
 * calls without a loop save no registers. */
__attribute__((noinline)) static void count_visit(const loop_t *loop)
{
    block_t *last = loop->last;
    const uint64_t rounds = last != NULL ? take_gain(last) : 0;
    const block_t *first = last;
    uint64_t expected = rounds;
    if (rounds == 0) {
        return;
    }
    for (block_t *piece = last->before; piece != NULL; piece = piece->before) {
        const uint64_t gain = take_gain(piece);
        if (gain == rounds && expected == rounds) {
            first = piece;
        } else {
            expected = rounds - 1;
            strayed = strayed || gain != expected;
        }
    }
    leave_previous_to(first->address);
    last->total.taken += rounds - 1;
    previous = last;
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
    if (strayed) {
        return false;
    }
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

#endif
