/* What the plugin has to know of instructions: how long they are, and which surely go on behind themselves. */
#ifndef EDGEPRUNE_INSTRUCTIONS_H
#define EDGEPRUNE_INSTRUCTIONS_H

#include "qemu.h"

static bool riscv;            /* else Thumb */
static data_of_t data_of;
static copy_data_of_t copy_data_of;
static bool copies_data;      /* the latter is what QEMU has under their common name */

static void learn_instructions(const qemu_info_t *info)
{
    find(&data_of, "qemu_plugin_insn_data");
    find(&copy_data_of, "qemu_plugin_insn_data");
    riscv = strncmp(info->target_name, "riscv", 5) == 0;
    copies_data = info->version.cur >= 3;
}

static void read_bytes(const struct qemu_plugin_insn *instruction, uint8_t *bytes, size_t count)
{
    if (copies_data) {
        (void)copy_data_of(instruction, bytes, count);
    } else {
        memcpy(bytes, data_of(instruction), count);
    }
}

/* Bytes of an instruction, from its first halfword: Thumb by ARM DDI 0403E, A5.1, RISC-V by its specification,
 * section 1.5. The size that QEMU gives may include what it read ahead at the end of a page (7.2). */
static size_t length_of(const struct qemu_plugin_insn *instruction)
{
    uint8_t bytes[2] = { 0, 0 };
    read_bytes(instruction, bytes, sizeof bytes);
    if (riscv) {
        return (bytes[0] & 3U) == 3U ? 4 : 2;
    }
    return bytes[1] >> 3 >= 0x1D ? 4 : 2;
}

/* Whether an instruction surely goes on behind itself: arithmetic, loads and stores that leave the program counter
 * alone. Of the others some do too; they are taken for branches. Thumb by ARM DDI 0403E, A5.2 and A5.3, RISC-V by
 * its specification, chapters 2 and 16. */
static bool goes_on(const struct qemu_plugin_insn *instruction, size_t length)
{
    uint8_t bytes[4] = { 0, 0, 0, 0 };
    read_bytes(instruction, bytes, length);
    const unsigned int first = bytes[0] | (unsigned int)bytes[1] << 8;
    const unsigned int second = bytes[2] | (unsigned int)bytes[3] << 8;
    if (riscv && length == 4) {
        const unsigned int opcode = first & 0x7FU;
        return opcode == 0x03U || opcode == 0x13U || opcode == 0x17U || opcode == 0x23U || opcode == 0x33U
            || opcode == 0x37U;
    }
    if (riscv) {
        const unsigned int kinds[4] = { 0xFFU, 0x1DU, 0x45U, 0 }; /* of funct3: loads, stores and arithmetic */
        return (kinds[first & 3U] >> (first >> 13) & 1U) != 0;
    }
    if (length == 2) {
        return first >> 14 == 0 || first >> 10 == 0x10U          /* arithmetic */
            || first >> 11 == 0x09U                              /* a load from behind the code */
            || (first >> 12 >= 5 && first >> 12 <= 10);          /* loads, stores, sums with sp and pc */
    }
    return first >> 9 == 0x75U                                   /* data processing, shifted register */
        || (first >> 11 == 0x1EU && second >> 15 == 0)           /* data processing, immediate */
        || first >> 8 == 0xFAU || first >> 8 == 0xFBU            /* data processing, register; multiplications */
        || first >> 10 == 0x3BU || first >> 10 == 0x3FU          /* floating point, vectors */
        || (first >> 9 == 0x7CU && second >> 12 != 15);          /* loads and stores of one register */
}

#endif
