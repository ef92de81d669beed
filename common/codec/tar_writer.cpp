#include "common/codec/tar_writer.hpp"

#include "common/base/error.hpp"
#include "common/codec/tar_header.hpp"

#include <array>
#include <cassert>
#include <fmt/format.h>

namespace walgd::codec {

namespace {

constexpr std::array<std::byte, 2 * tar::block_bytes> zeros{};

} // namespace

void TarWriter::begin(const TarMember& member) {
    assert(left_ == 0 && padding_ == 0);
    pass(bytes_of(tar::compose(member)));
    name_ = member.name;
    left_ = member.type == TarMember::Type::file ? member.size : 0;
    padding_ = tar::padding_of(left_);
}

void TarWriter::write(ByteView bytes) {
    if (bytes.size() > left_)
        throw Error(ErrorKind::failed,
                    fmt::format("cannot put {} into a tar: {} bytes more than its header says", name_, bytes.size() - left_));
    left_ -= bytes.size();
    pass(bytes);
}

void TarWriter::end_member() {
    if (left_ > 0)
        throw Error(ErrorKind::failed,
                    fmt::format("cannot put {} into a tar: {} bytes fewer than its header says", name_, left_));
    if (padding_ > 0) pass(ByteView(zeros).first(padding_));
    padding_ = 0;
}

void TarWriter::finish() {
    pass(zeros);
    out_.finish();
}

void TarWriter::pass(ByteView bytes) {
    written_ += bytes.size();
    out_.write(bytes);
}

} // namespace walgd::codec
