#pragma once

namespace walgd {

/// Takes the pages of the program's code and constants, and of its libraries', out of this process's memory: what only the start
/// needed stays out, what is called again comes back from the page cache at its next use. Of a walgd that has started these are
/// 3 of 14 MiB.
void drop_code_pages();

} // namespace walgd
