#pragma once
#include "common/base/budget.hpp"
#include "common/base/bytes.hpp"
#include "common/base/handles.hpp"

#include <stop_token>
#include <string>

namespace walgd::archive {

/// A WAL file without a name: where a segment is put together before it is pushed. In memory, taken out of the budget, while four
/// of them fit there (one is assembled and one pushed, which takes room of its own); else on disk, in the temporary folder.
class SegmentFile {
public:
    /// `bytes` zeros. Waits for memory; Error(cancelled) when `stop` is asked for.
    SegmentFile(std::uint64_t bytes, MemoryBudget& budget, std::stop_token stop);

    void write(std::uint64_t offset, ByteView bytes);
    /// Another descriptor of the same file, for WalPusher::push().
    UniqueFd duplicate() const;

private:
    MemoryBudget::Lease lease_;
    UniqueFd fd_;
};

} // namespace walgd::archive
