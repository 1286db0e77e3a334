/* A set-associative cache that replaces the line used longest ago and is filled word by word. */
#ifndef CACHE_H
#define CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

typedef struct {
    uint64_t tag;   /* number of the line in flash plus 1; 0: empty */
    uint64_t words; /* a bit for each that is filled */
    uint64_t used;  /* when */
} line_t;

typedef struct {
    line_t *lines;
    uint64_t sets;
    uint64_t ways;
} cache_t;

static uint64_t line_bytes = 32; /* of every cache */
static uint64_t word_bytes = 32;
static uint64_t now;

static bool make_cache(cache_t *cache, uint64_t lines, uint64_t ways)
{
    cache->ways = ways == 0 ? lines : ways;
    cache->sets = lines == 0 ? 0 : lines / cache->ways;
    cache->lines = lines == 0 ? NULL : calloc(lines, sizeof *cache->lines);
    return lines == 0 || (cache->lines != NULL && cache->sets * cache->ways == lines);
}

/* Whether the word at `address` is not in the cache; it is afterwards. */
static bool misses(cache_t *cache, uint64_t address)
{
    const uint64_t number = address / line_bytes;
    const uint64_t word = (uint64_t)1 << (address % line_bytes / word_bytes);
    line_t *set = cache->lines + number % cache->sets * cache->ways;
    line_t *oldest = set;
    now++;
    for (line_t *line = set; line < set + cache->ways; line++) {
        if (line->tag == number + 1) {
            const bool missing = (line->words & word) == 0;
            line->words |= word;
            line->used = now;
            return missing;
        }
        if (line->used < oldest->used) {
            oldest = line;
        }
    }
    *oldest = (line_t){ number + 1, word, now };
    return true;
}

#endif
