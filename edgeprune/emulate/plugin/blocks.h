/* The blocks of code that QEMU translates, and the tight loops that they are pieces of. */
#ifndef EDGEPRUNE_BLOCKS_H
#define EDGEPRUNE_BLOCKS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "qemu.h"

typedef struct {
    uint64_t executions;
    uint64_t taken;
} count_t;

typedef struct loop loop_t;

typedef struct block {
    /* What every call looks at comes first, in one line of the cache. */
    _Alignas(64) uint64_t address;
    uint64_t end;
    loop_t *loop;            /* of a block that calls: the tight loop that may be left to it, if there is one */
    count_t total;           /* since QEMU started */
    count_t booked;          /* what of the total belongs to a region already, or to none */
    count_t *counts;         /* one per region */
    size_t instructions;
    bool tight;              /* this is a piece of a tight loop: the code that QEMU generates counts it, not a call */
    struct block *before;    /* of a piece: the one before, if there is one */
    uint64_t rounds;         /* of a piece: where version 1 adds */
    qemu_plugin_u64 score;   /* the same: where version 2 adds */
    uint64_t seen;           /* what of these rounds is in `total` already */
    struct block *next_in_bucket;
    struct block *next;
} block_t;

/* A loop: code from `low` that ends with a conditional branch back to it. Its pieces lie one behind the other. */
struct loop {
    uint64_t low;
    uint64_t high;
    bool straight;
    block_t *first;
    block_t *last;
};

#define BUCKETS 16384U

static block_t *buckets[BUCKETS];
static block_t *blocks;
static loop_t *loops;
static size_t loop_count;

/* The block, made if it is new; NULL without memory for it and its counts. */
static block_t *find_block(uint64_t address, uint64_t end, size_t instructions, size_t regions)
{
    const size_t bucket = (size_t)((address >> 1) * 2654435761U + instructions) % BUCKETS;
    block_t *block = buckets[bucket];
    while (block != NULL && (block->address != address || block->end != end || block->instructions != instructions)) {
        block = block->next_in_bucket;
    }
    if (block == NULL) {
        count_t *counts = calloc(regions, sizeof *counts);
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

/* The tight loop that may be left to a block that calls. A straight one may be so to any block in it: a piece may be
 * followed by a block that is none. */
static loop_t *loop_left_to(uint64_t address)
{
    for (size_t i = 0; i < loop_count; i++) {
        if (address == loops[i].high || (loops[i].straight && address >= loops[i].low && address < loops[i].high)) {
            return &loops[i];
        }
    }
    return NULL;
}

/* The loop that the block is all of, or a part of if it is straight. */
static loop_t *loop_around(const block_t *block)
{
    for (size_t i = 0; i < loop_count; i++) {
        const loop_t *loop = &loops[i];
        const bool whole = block->address == loop->low && block->end == loop->high;
        if (whole || (loop->straight && block->address >= loop->low && block->end <= loop->high)) {
            return &loops[i];
        }
    }
    return NULL;
}

/* Whether QEMU cuts code there: inside of a straight loop no block ends for another reason. */
static bool is_cut(uint64_t address)
{
    for (const block_t *block = blocks; block != NULL; block = block->next) {
        if (block->end == address) {
            return true;
        }
    }
    return false;
}

/* Makes the block a piece of the loop if it begins where the loop or a piece does, and leaves no gap. Then the pieces
 * are left only to a block that calls: what follows them, or the loop's beginning, where that is no piece. */
static bool join_loop(block_t *block, loop_t *loop)
{
    if (block->address != loop->low && !is_cut(block->address)) {
        return false;
    }
    if (loop->last == NULL) {
        loop->first = loop->last = block;
    } else if (block->address == loop->last->end) {
        block->before = loop->last;
        loop->last = block;
    } else if (block->end == loop->first->address) {
        loop->first->before = block;
        loop->first = block;
    } else {
        return false;
    }
    return true;
}

static bool add_loop(uint64_t low, uint64_t high, bool straight)
{
    loop_t *more = realloc(loops, (loop_count + 1) * sizeof *more);
    if (more == NULL) {
        return false;
    }
    loops = more;
    loops[loop_count++] = (loop_t){ .low = low, .high = high, .straight = straight };
    return true;
}

#endif
