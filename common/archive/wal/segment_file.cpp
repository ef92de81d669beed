#include "common/archive/wal/segment_file.hpp"

#include "common/base/error.hpp"
#include "common/base/files.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

namespace walgd::archive {

namespace {

constexpr std::uint64_t segments_in_budget = 4;
const std::string description = "the file that a received segment is put together in";

UniqueFd in_memory() {
    UniqueFd fd(::memfd_create("walgd-segment", MFD_CLOEXEC));
    if (!fd) throw_errno("cannot make " + description);
    return fd;
}

UniqueFd on_disk() { return unnamed_file(); }

} // namespace

SegmentFile::SegmentFile(std::uint64_t bytes, MemoryBudget& budget, std::stop_token stop) {
    if (bytes <= budget.total() / segments_in_budget) {
        lease_ = budget.acquire(bytes, std::move(stop));
        fd_ = in_memory();
    } else {
        fd_ = on_disk();
    }
    if (::ftruncate(fd_.get(), static_cast<off_t>(bytes)) != 0) throw_errno("cannot extend " + description);
}

void SegmentFile::write(std::uint64_t offset, ByteView bytes) { write_all_at(fd_.get(), bytes, offset, description); }

UniqueFd SegmentFile::duplicate() const {
    UniqueFd copy(::fcntl(fd_.get(), F_DUPFD_CLOEXEC, 0));
    if (!copy) throw_errno("cannot duplicate the descriptor of " + description);
    return copy;
}

} // namespace walgd::archive
