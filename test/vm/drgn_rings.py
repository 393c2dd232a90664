"""Lists the io_uring contexts of a dump with drgn and the kernel's debug files.

drgn_rings.py VMLINUX CORE

An account of the rings that owes nothing to the program under test. One JSON
object a line for each ring, by its address. drgn 0.0.22 wants an ELF core with
a VMCOREINFO note and with virtual addresses (paging).
"""

import json
import sys

import drgn
from drgn import Object, cast
from drgn.helpers.linux import (
    for_each_file,
    for_each_task,
    hlist_for_each_entry,
    list_for_each_entry,
    xa_for_each,
)

# enum maple_type: a leaf's slots hold entries, those of other nodes hold nodes.
MAPLE_LEAF_64, MAPLE_ARANGE_64 = 1, 3


def maple_entries(prog, node, end):
    """Entries of a maple tree below a tagged node, up to and with index `end`."""
    kind = (node >> 3) & 0xF
    node = Object(prog, "struct maple_node *", node & ~0xFF)
    part = node.ma64 if kind == MAPLE_ARANGE_64 else node.mr64
    pivots = [pivot.value_() for pivot in part.pivot] + [end]
    for slot, pivot in zip(part.slot, pivots):
        # A zero pivot ends a node that is not full.
        last = pivot >= end or pivot == 0
        entry = slot.value_()
        if kind != MAPLE_LEAF_64:
            yield from maple_entries(prog, entry, end if last else pivot)
        elif entry:
            yield entry
        if last:
            break


def mapped_files(task):
    """Files that a task has mapped (a maple tree since Linux 6.1, 524e00b36e8c)."""
    prog = task.prog_
    root = task.mm.mm_mt.ma_root.value_()
    # A tree without a node has one entry or none: no process is that small.
    if root & 3 != 2:
        return
    for address in maple_entries(prog, root, 2**64 - 1):
        vma = Object(prog, "struct vm_area_struct *", address)
        if vma.vm_file:
            yield vma.vm_file


class Rings:
    """Every ring, and the processes that hold it."""

    def __init__(self, prog):
        self.prog = prog
        self.fops = prog["io_uring_fops"].address_of_()
        self.rings = {}
        self.fds = {}
        self.holders = {}

    def add(self, ctx):
        self.rings[ctx.value_()] = ctx
        return ctx.value_()

    def of_file(self, file):
        # A descriptor can be taken before it has its file.
        if not file or file.f_op != self.fops:
            return None
        return self.add(cast("struct io_ring_ctx *", file.private_data))

    def find(self):
        for task in for_each_task(self.prog):
            pid = task.tgid.value_()
            if task.files:
                for fd, file in for_each_file(task):
                    ring = self.of_file(file)
                    if ring is not None:
                        self.fds.setdefault(ring, set()).add((pid, fd))
            held = []
            if task.io_uring:
                for _, entry in xa_for_each(task.io_uring.xa.address_of_()):
                    held.append(self.add(cast("struct io_tctx_node *", entry).ctx))
                held += [self.of_file(file) for file in task.io_uring.registered_rings]
            if task.mm:
                held += [self.of_file(file) for file in mapped_files(task)]
            for ring in held:
                if ring is not None:
                    self.holders.setdefault(ring, set()).add(pid)
        # Rings that share a thread with one of these.
        for ctx in list(self.rings.values()):
            if ctx.sq_data:
                head = ctx.sq_data.ctx_list.address_of_()
                for other in list_for_each_entry("struct io_ring_ctx", head, "sqd_list"):
                    self.add(other)

    def owners(self, ring):
        """(pid, fd) of each holder; fd -1 where it has no descriptor for it."""
        fds = self.fds.get(ring, set())
        without = self.holders.get(ring, set()) - {pid for pid, _ in fds}
        return sorted(fds | {(pid, -1) for pid in without})


def cancel_requests(ctx):
    """Requests that wait in the ring's hash tables of what can be cancelled."""
    for name in ("cancel_table", "cancel_table_locked"):
        try:
            table = getattr(ctx, name)
        except AttributeError:
            continue  # This kernel has one table only.
        if not table.hbs:
            continue
        for i in range(1 << table.hash_bits.value_()):
            head = table.hbs[i].list.address_of_()
            yield from hlist_for_each_entry("struct io_kiocb", head, "hash_node")


def describe(ctx):
    rings = ctx.rings
    tags = sorted(req.cqe.user_data.value_() for req in cancel_requests(ctx))
    return {
        "ctx_addr": hex(ctx),
        "sq_entries": ctx.sq_entries.value_(),
        "cq_entries": ctx.cq_entries.value_(),
        "sq_head": rings.sq.head.value_(),
        "sq_tail": rings.sq.tail.value_(),
        "cq_head": rings.cq.head.value_(),
        "cq_tail": rings.cq.tail.value_(),
        "cached_sq_head": ctx.cached_sq_head.value_(),
        "cached_cq_tail": ctx.cached_cq_tail.value_(),
        "cancel_table": [hex(tag) for tag in tags],
    }


def main(vmlinux, core):
    prog = drgn.Program()
    prog.set_core_dump(core)
    prog.load_debug_info([vmlinux])
    rings = Rings(prog)
    rings.find()
    for address, ctx in sorted(rings.rings.items()):
        owners = [{"pid": pid, "fd": fd} for pid, fd in rings.owners(address)]
        print(json.dumps({**describe(ctx), "owners": owners}))


main(*sys.argv[1:])
