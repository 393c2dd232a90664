"""Writes the symbols and types of a kernel as ISF, the format of Volatility 3.

drgn_isf.py VMLINUX SYSTEM_MAP > kernel.json

Layouts come from the debug information, through drgn; what dwarf2json would
write, by a way that owes nothing to the program under test. drgn finds types
by name alone, so the strings of the kernel's BTF serve as names to try.
"""

import base64
import json
import struct
import sys

import drgn
from drgn import TypeKind

MAX_BANNER = 512


class Elf:
    """Sections of an ELF64 file."""

    def __init__(self, path):
        self.file = open(path, "rb")
        header = self.file.read(64)
        table, = struct.unpack_from("<Q", header, 40)
        size, count, names = struct.unpack_from("<HHH", header, 58)
        self.sections = {}
        raw = [struct.unpack("<IIQQQQ", self.at(table + i * size, 40)) for i in range(count)]
        strings = self.at(raw[names][4], raw[names][5])
        for name, _, _, address, offset, length in raw:
            text = strings[name : strings.index(b"\0", name)].decode()
            self.sections[text] = (address, offset, length)

    def at(self, offset, length):
        self.file.seek(offset)
        return self.file.read(length)

    def section(self, name):
        _, offset, length = self.sections[name]
        return self.at(offset, length)

    def memory(self, address, length):
        for start, offset, size in self.sections.values():
            if start and start <= address < start + size:
                return self.at(offset + address - start, length)
        raise LookupError(hex(address))


class Types:
    """Types as ISF describes them, each once."""

    def __init__(self, prog):
        self.prog = prog
        self.base = {
            "void": {"size": 0, "signed": False, "kind": "void", "endian": "little"},
            "pointer": {"size": 8, "signed": False, "kind": "int", "endian": "little"},
        }
        self.user = {}
        self.enums = {}
        self.waiting = []
        self.anonymous = 0

    def add(self, kind, name):
        try:
            found = self.prog.type(f"{kind} {name}")
        except (LookupError, SyntaxError):
            return
        if found.is_complete():
            self.describe(found)
        while self.waiting:
            self.write(*self.waiting.pop())

    def name_of(self, type_):
        if type_.tag is not None:
            return type_.tag
        if type_.kind == TypeKind.ENUM:
            # It may be met in several ways.
            return "unnamed_" + "_".join(item.name for item in type_.enumerators[:1])
        self.anonymous += 1
        return f"unnamed_{self.anonymous:016x}"

    def describe(self, type_):
        kind = type_.kind
        if kind == TypeKind.TYPEDEF:
            return self.describe(type_.type)
        if kind == TypeKind.POINTER:
            return {"kind": "pointer", "subtype": self.describe(type_.type)}
        if kind == TypeKind.ARRAY:
            subtype = self.describe(type_.type)
            return {"kind": "array", "count": type_.length or 0, "subtype": subtype}
        if kind == TypeKind.FUNCTION:
            return {"kind": "function"}
        if kind == TypeKind.VOID:
            return {"kind": "base", "name": "void"}
        if kind in (TypeKind.STRUCT, TypeKind.UNION):
            name = self.name_of(type_)
            if type_.is_complete() and name not in self.user:
                self.user[name] = None
                self.waiting.append((name, type_))
            return {"kind": "struct" if kind == TypeKind.STRUCT else "union", "name": name}
        if kind == TypeKind.ENUM:
            name = self.name_of(type_)
            if type_.is_complete() and name not in self.enums:
                base = self.describe(type_.type)["name"]
                constants = {item.name: item.value for item in type_.enumerators}
                self.enums[name] = {"size": type_.type.size, "base": base, "constants": constants}
            return {"kind": "enum", "name": name}
        self.base[type_.name] = {
            "size": type_.size,
            "signed": getattr(type_, "is_signed", kind == TypeKind.FLOAT),
            "kind": {TypeKind.BOOL: "bool", TypeKind.FLOAT: "float"}.get(
                kind, "char" if type_.size == 1 else "int"
            ),
            "endian": "little",
        }
        return {"kind": "base", "name": type_.name}

    def write(self, name, type_):
        fields = {}
        for member in type_.members:
            offset = member.bit_offset // 8
            field = {"offset": offset, "type": self.describe(member.type)}
            if member.bit_field_size:
                # From the storage unit that the field's type would be aligned to.
                unit = drgn.sizeof(member.type)
                field["offset"] = offset = offset // unit * unit
                field["type"] = {
                    "kind": "bitfield",
                    "bit_position": member.bit_offset - offset * 8,
                    "bit_length": member.bit_field_size,
                    "type": field["type"],
                }
            if member.name is None:
                field["anonymous"] = True
            key = member.name if member.name is not None else f"unnamed_field_{offset:x}"
            # Two anonymous unions may be at one place when the first is empty.
            while key in fields:
                key += "_"
            fields[key] = field
        kind = "struct" if type_.kind == TypeKind.STRUCT else "union"
        self.user[name] = {"size": type_.size, "fields": fields, "kind": kind}


def btf_strings(btf):
    header, = struct.unpack_from("<I", btf, 4)
    offset, length = struct.unpack_from("<II", btf, 16)
    return {text.decode() for text in btf[header + offset :][:length].split(b"\0") if text}


def read_map(path):
    with open(path) as lines:
        for line in lines:
            address, _, name = line.split()
            yield name, int(address, 16)


def main(vmlinux, system_map):
    elf = Elf(vmlinux)
    prog = drgn.Program(drgn.Platform(drgn.Architecture.X86_64))
    prog.load_debug_info([vmlinux])
    types = Types(prog)
    for name in sorted(btf_strings(elf.section(".BTF"))):
        if not name.isidentifier():
            continue
        for kind in ("struct", "union", "enum"):
            types.add(kind, name)
        # An enum without a name is known by what it names.
        if name.isupper():
            try:
                type_ = prog.constant(name).type_
            except LookupError:
                continue
            if type_.kind == TypeKind.ENUM:
                types.describe(type_)
    symbols = {name: {"address": address} for name, address in read_map(system_map)}
    banner = elf.memory(symbols["linux_banner"]["address"], MAX_BANNER)
    banner = banner[: banner.index(b"\0") + 1]
    symbols["linux_banner"]["constant_data"] = base64.b64encode(banner).decode()
    json.dump(
        {
            "metadata": {
                "linux": {
                    "symbols": [{"kind": "system-map", "name": "System.map"}],
                    "types": [{"kind": "dwarf", "name": "vmlinux"}],
                },
                "producer": {"name": "drgn_isf", "version": "1.0.0"},
                "format": "6.2.0",
            },
            "base_types": types.base,
            "user_types": types.user,
            "enums": types.enums,
            "symbols": symbols,
        },
        sys.stdout,
        indent=1,
        sort_keys=True,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
