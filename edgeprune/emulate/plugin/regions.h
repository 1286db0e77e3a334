/* What to count: the addresses of `run` and of the layers' functions, read from a file that plugin.c describes. */
#ifndef EDGEPRUNE_REGIONS_H
#define EDGEPRUNE_REGIONS_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "blocks.h"

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
            good = add_loop(low, high, false);
        } else if (sscanf(line, "straight %" SCNx64 " %" SCNx64, &low, &high) == 2) {
            good = add_loop(low, high, true);
        } else {
            good = false;
        }
    }
    fclose(file);
    return good;
}

#endif
