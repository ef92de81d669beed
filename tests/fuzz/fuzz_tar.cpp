#include "common/base/error.hpp"
#include "common/codec/tar_reader.hpp"
#include "common/codec/tar_writer.hpp"

#include <algorithm>
#include <cstdlib>

namespace {

using namespace walgd;

/// Checks the order of the calls, and that what was read can be written again.
class Checker : public codec::TarReader::Handler {
public:
    void begin(const codec::TarMember& member) override {
        if (open_ || member.name.empty()) std::abort();
        open_ = true;
        left_ = member.size;
        codec::tar::compose(member);
    }
    void data(ByteView bytes) override {
        if (!open_ || bytes.size() > left_) std::abort();
        left_ -= bytes.size();
    }
    void end() override {
        if (!open_ || left_ != 0) std::abort();
        open_ = false;
    }

private:
    bool open_ = false;
    std::uint64_t left_ = 0;
};

} // namespace

/// First byte: the size of the pieces.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const std::size_t piece = data[0] + std::size_t{1};
    auto bytes = std::as_bytes(std::span(data, size)).subspan(1);
    Checker checker;
    codec::TarReader reader(checker, "fuzz.tar");
    try {
        for (; !bytes.empty(); bytes = bytes.subspan(std::min(piece, bytes.size())))
            reader.write(bytes.first(std::min(piece, bytes.size())));
        reader.finish();
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::corrupt) std::abort();
    }
    return 0;
}
