"""What one writes for gdb when there is no asyncdump: run by gdb, which has attached to bench_target.

    FRAMES=FILE gdb -nx -batch -p PID -x walk_continuations.py

FILE names the frames to begin at, one address a line; somebody had to find them. From each one the coroutines that it returns
to are walked, as this one program's promise keeps them, and each is printed with its function.
"""

import os
import struct

import gdb

CONTINUATION = 16  # bench_target's promise begins with it, behind the two pointers of a frame
LONGEST_CHAIN = 1000


def words(inferior, address, count):
    return struct.unpack(f"={count}Q", inferior.read_memory(address, 8 * count).tobytes())


def main():
    inferior, names = gdb.selected_inferior(), {}
    with open(os.environ["FRAMES"], encoding="ascii") as file:
        starts = [int(line, 16) for line in file]
    for frame in starts:
        for depth in range(LONGEST_CHAIN):
            resume, destroy, continuation = words(inferior, frame, 3)
            if resume not in names:
                block = gdb.block_for_pc(resume)
                names[resume] = str(block.function) if block and block.function else gdb.execute(f"info symbol {resume}", to_string=True)
            if "oop" in names[resume]:
                break  # the no-op coroutine at the end of a chain
            print("  " * depth + f"{frame:#x} {names[resume].strip()}")
            if continuation == 0:
                break
            frame = continuation


main()
