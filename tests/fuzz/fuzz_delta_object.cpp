#include "common/base/error.hpp"
#include "common/pg/delta_object.hpp"

#include <cstdint>
#include <cstdlib>

namespace {

std::string written(const walgd::pg::DeltaObject& object) {
    auto text = walgd::pg::delta_object_begin(object.proof->system);
    for (const auto& section : object.sections) text += walgd::pg::delta_object_section(section);
    return text + walgd::pg::delta_object_end(object.proof->end, object.tail);
}

} // namespace

/// What is read says no more than its bytes can, and what proves itself is the same when it is written and read again.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace walgd;
    try {
        const auto object = pg::parse_delta_object({reinterpret_cast<const std::byte*>(data), size}, "input");
        std::uint64_t blocks = 0;
        for (const auto& section : object.sections) {
            for (const auto& [relation, fork] : section.changes.relations()) blocks += fork.blocks.size();
            blocks += section.changes.databases().size();
        }
        if (blocks > size / 16) std::abort();
        if (!object.proof) return 0;
        const auto text = written(object);
        const auto again = pg::parse_delta_object(bytes_of(text), "written");
        if (text.size() > size || again.proof != object.proof || written(again) != text) std::abort();
    } catch (const Error&) {
    }
    return 0;
}
