#include "common/archive/wal/commit_index.hpp"

#include "common/archive/chain.hpp"
#include "common/archive/layout.hpp"
#include "common/base/naming.hpp"
#include "common/base/number_text.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace walgd::archive {

namespace {

constexpr std::string_view document_suffix = ".json";
constexpr std::uint64_t packed_block_bytes_max = 16 << 20, plain_block_bytes_max = 64 << 20;

std::string index_folder() { return std::string(own_folder) + "index/"; }

/// "<timeline>/<block>[-<writer>].json[.<suffix>]"
std::optional<IndexObject> object_of(const storage::ObjectKey& key) {
    const auto path = std::string_view(key.path()).substr(index_folder().size());
    const auto slash = path.find('/');
    const auto dot = path.find(document_suffix);
    if (slash == std::string_view::npos || dot == std::string_view::npos || dot < slash) return std::nullopt;
    const auto name = path.substr(slash + 1, dot - slash - 1);
    const auto timeline = whole_number<std::uint32_t>(path.substr(0, slash), 16);
    const auto block = whole_number<std::uint64_t>(name.substr(0, name.find('-')), 16);
    auto suffix = path.substr(dot + document_suffix.size());
    if (suffix.starts_with('.')) suffix.remove_prefix(1);
    const auto* compression = codec::compression_by_suffix(suffix);
    if (!timeline || !block || compression == nullptr) return std::nullopt;
    return IndexObject{key, {pg::TimelineId(*timeline), *block}, compression};
}

class Text : public codec::Sink {
public:
    void write(ByteView bytes) override {
        if (text.size() + bytes.size() > plain_block_bytes_max)
            throw Error(ErrorKind::corrupt, "a part of the commit-time index is longer than one can be",
                        "remove it: walg restorable --rebuild makes it again");
        text += text_of(bytes);
    }
    void finish() override {}
    std::string text;
};

std::string unpacked(const Archive& archive, const IndexObject& object, ByteView packed) {
    Text text;
    UnpackChain chain(archive.packing.cipher, *object.compression, text);
    chain.head().write(packed);
    chain.head().finish();
    return std::move(text.text);
}

std::string packed(const Archive& archive, const NoteBlock& block) {
    Text text;
    PackChain chain(archive.packing, codec::Content::wal, text);
    chain.head().write(bytes_of(to_json(block)));
    chain.head().finish();
    return std::move(text.text);
}

} // namespace

storage::ObjectKey index_key(IndexPlace place, std::string_view writer, std::string_view suffix) {
    return storage::ObjectKey(fmt::format("{}{:08X}/{:010X}{}{}{}{}{}", index_folder(), place.timeline.number(), place.block,
                                          writer.empty() ? "" : "-", writer, document_suffix, suffix.empty() ? "" : ".", suffix));
}

awaitable<std::vector<IndexObject>> list_index(Archive& archive) {
    const auto page = co_await storage::list_all(archive.storage, index_folder(), true);
    std::vector<IndexObject> objects;
    for (const auto& info : page.objects) {
        if (const auto object = object_of(info.key)) objects.push_back(*object);
    }
    co_return objects;
}

awaitable<std::optional<NoteBlock>> read_index(Archive& archive, IndexObject object) {
    const auto blob = co_await storage::get_whole(archive.storage, object.key, packed_block_bytes_max);
    if (!blob) co_return std::nullopt;
    auto work = [&] {
        const auto& path = object.key.path();
        return naming(path, [&] { return parse_note_block(unpacked(archive, object, blob->view()), path); });
    };
    auto block = co_await run_on(archive.cpu, std::move(work));
    co_return block;
}

awaitable<void> write_index(Archive& archive, NoteBlock block, std::string writer) {
    if (block.notes.empty()) co_return;
    const auto place = IndexPlace::of({block.timeline, block.notes.front().first});
    const auto key = index_key(place, writer, archive.packing.compression->suffix());
    auto work = [&] { return packed(archive, block); };
    const auto body = co_await run_on(archive.cpu, std::move(work));
    co_await archive.storage.put(key, bytes_of(body), {});
}

void put_note(NoteBlock& block, std::uint64_t number, WalNote note) {
    const auto place = std::ranges::lower_bound(block.notes, number, {}, [](const auto& one) { return one.first; });
    if (place == block.notes.end() || place->first != number)
        block.notes.emplace(place, number, std::move(note));
    else if (note.complete || !place->second.complete)
        place->second = std::move(note);
}

void merge(NoteBlock& block, const NoteBlock& more) {
    for (const auto& [number, note] : more.notes) put_note(block, number, note);
}

} // namespace walgd::archive
