/* What edgeprune's plugins use of QEMU's plugin interface.
 *
 * QEMU declares it in include/qemu/qemu-plugin.h and documents it in docs/devel/tcg-plugins.rst. Distributions do not
 * package that header, so it is declared here. Version 1 (QEMU 6.0 to 8.2) adds to a counter at a pointer; version 2
 * (QEMU 9.0 and later, which accept plugins of version 2 alone) adds to a member of a "scoreboard" that has an
 * element for each processor. Which of the two functions QEMU exports is found when a plugin is loaded, before QEMU
 * reads `qemu_plugin_version`.
 */
#ifndef EDGEPRUNE_QEMU_H
#define EDGEPRUNE_QEMU_H

#ifndef _GNU_SOURCE
#error "define _GNU_SOURCE before the first header: RTLD_DEFAULT"
#endif
#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t qemu_plugin_id_t;
typedef uint32_t qemu_plugin_meminfo_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_plugin_scoreboard;

typedef struct {
    struct qemu_plugin_scoreboard *score;
    size_t offset;
} qemu_plugin_u64;

enum qemu_plugin_op { QEMU_PLUGIN_INLINE_ADD_U64 };
enum qemu_plugin_cb_flags { QEMU_PLUGIN_CB_NO_REGS };
/* QEMU 7.2 makes no calls for a callback that asks for reads alone. */
enum qemu_plugin_mem_rw { QEMU_PLUGIN_MEM_RW = 3 };

typedef struct qemu_info_t {
    const char *target_name;
    struct {
        int min;
        int cur;
    } version;
    bool system_emulation;
    struct {
        int smp_vcpus;
        int max_vcpus;
    } system;
} qemu_info_t;

typedef void (*on_execution_t)(unsigned int, void *);
typedef void (*on_memory_t)(unsigned int, qemu_plugin_meminfo_t, uint64_t, void *);

/* In both versions. */
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, struct qemu_plugin_tb *));
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, void *), void *);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, on_execution_t, enum qemu_plugin_cb_flags, void *);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *, on_memory_t, enum qemu_plugin_cb_flags,
                                      enum qemu_plugin_mem_rw, void *);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *);
bool qemu_plugin_mem_is_store(qemu_plugin_meminfo_t);
unsigned int qemu_plugin_mem_size_shift(qemu_plugin_meminfo_t);

/* Since version 3 (QEMU 9.1) the bytes of an instruction are copied, where a pointer was given. */
typedef const void *(*data_of_t)(const struct qemu_plugin_insn *);
typedef size_t (*copy_data_of_t)(const struct qemu_plugin_insn *, void *, size_t);

/* In version 1. */
typedef void (*add_to_pointer_t)(struct qemu_plugin_tb *, enum qemu_plugin_op, void *, uint64_t);

/* From version 2. */
typedef void (*add_to_score_t)(struct qemu_plugin_tb *, enum qemu_plugin_op, qemu_plugin_u64, uint64_t);
typedef struct qemu_plugin_scoreboard *(*new_scoreboard_t)(size_t);
typedef uint64_t (*sum_of_scores_t)(qemu_plugin_u64);

EXPORT int qemu_plugin_version = 1;
EXPORT int qemu_plugin_install(qemu_plugin_id_t, const qemu_info_t *, int, char **);

/* Looks a function up that not every QEMU exports; NULL where it does not. POSIX lets dlsym give functions; ISO C has
 * no conversion for it but through the bytes. */
static void find(void *function, const char *name)
{
    void *symbol = dlsym(RTLD_DEFAULT, name);
    memcpy(function, &symbol, sizeof symbol);
}

__attribute__((constructor)) static void choose_version(void)
{
    add_to_pointer_t in_version_1;
    find(&in_version_1, "qemu_plugin_register_vcpu_tb_exec_inline");
    qemu_plugin_version = in_version_1 != NULL ? 1 : 2;
}

#endif
