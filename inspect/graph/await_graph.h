#pragma once

#include <utility>
#include <vector>

#include "graph/dump.h"

namespace asyncdump {

/// Who awaits whom, decided from what refers to what.
///
/// A coroutine that is awaited remembers, in its promise, who is to go on after it; the one that awaits holds
/// a handle to it in its awaiter or in a local. Both together are an edge. One of them alone is believed only
/// where debug information says what the word is: a coroutine_handle in the child's promise, the awaiter at
/// which the parent is suspended. A coroutine that is done, or that has handed out a value by co_yield and
/// waits for being asked, is awaited by nobody, whatever it still remembers.
///
/// A handle in an awaiter may also be of somebody who is woken after a while, or to whom the turn is passed:
/// where nothing else speaks for the edge, it is none if the promise of that one is empty, or if such edges
/// alone make a circle. And a promise that leads to a coroutine which waits for time or data, by an awaiter
/// of nothing but numbers, only remembers who has spawned it. The former cannot be told from awaiting where
/// the one that is woken has something in its promise and wakes nobody in its turn.
///
/// It can be wrong: without debug information parent and child are told apart by what their code does with
/// the words (runtimes/cpp20/undescribed_frames.h), and where that says nothing by the place of the two words
/// alone (a promise stands before locals; where they speak for both directions, there is no edge). A
/// generator that stands at a co_yield is not known to do so then, and counts as awaited. And a parent that
/// gave up a child without destroying it (when_any) looks as if it awaited both, where neither the place of
/// the live awaiter nor its class is known.
///
/// Returns edges (parent, child), sorted, each once.
std::vector<std::pair<std::uint32_t, std::uint32_t>> decide_edges(const Observation& observation);

/// Fills awaits, awaited_by, tasks, task_members and task_of of a dump whose `observed` is complete.
/// A task begins at a coroutine that nobody awaits; of a cycle without such a one, at one of its members.
/// Coroutines that stand apart (doubtful ones) belong to no task.
void build_tasks(Dump& dump);

}  // namespace asyncdump
