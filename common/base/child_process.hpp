#pragma once
#include "common/base/async.hpp"
#include "common/base/handles.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace walgd {

/// A program that somebody named in the settings. No shell reads its words, unless they begin with one.
struct ChildProcess {
    std::vector<std::string> words;       ///< the first is the program's path
    std::vector<std::string> environment; ///< "NAME=value"
    int input = -1, output = -1;          ///< its standard input and output; -1: ours
};

/// Runs it to its end, in a process group of its own. Error(failed) when it cannot be started, or ends in another way than with
/// 0. Cancelled, it ends the program with all that this started.
awaitable<void> run_child(ChildProcess program);

/// A file in memory, at its begin: what a child reads or writes in the place of a pipe.
UniqueFd file_in_memory(std::string_view content);

} // namespace walgd
