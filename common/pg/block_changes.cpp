#include "common/pg/block_changes.hpp"

#include <algorithm>
#include <bit>

namespace walgd::pg {

namespace {

constexpr std::uint32_t chunk_blocks = 1 << 16;
constexpr std::size_t word_bits = 64;

} // namespace

void BlockSet::add(Chunk& chunk, std::uint16_t block) {
    if (chunk.bits.empty()) {
        const auto place = std::ranges::lower_bound(chunk.few, block);
        if (place != chunk.few.end() && *place == block) return;
        if (chunk.few.size() < few_max) {
            chunk.few.insert(place, block);
            return;
        }
        chunk.bits.resize(chunk_blocks / word_bits);
        for (const auto one : chunk.few) chunk.bits[one / word_bits] |= std::uint64_t{1} << one % word_bits;
        chunk.few = {};
    }
    chunk.bits[block / word_bits] |= std::uint64_t{1} << block % word_bits;
}

template <class Visit> void BlockSet::each(const Chunk& chunk, Visit visit) {
    for (const auto block : chunk.few) visit(block);
    for (std::size_t index = 0; index < chunk.bits.size(); ++index) {
        for (auto word = chunk.bits[index]; word != 0; word &= word - 1)
            visit(static_cast<std::uint32_t>(index * word_bits) + static_cast<std::uint32_t>(std::countr_zero(word)));
    }
}

void BlockSet::add(std::uint32_t block) { add(chunks_[block / chunk_blocks], static_cast<std::uint16_t>(block % chunk_blocks)); }

void BlockSet::cut(std::uint32_t limit) {
    const auto first = chunks_.lower_bound(limit / chunk_blocks);
    if (first == chunks_.end()) return;
    Chunk rest;
    if (first->first == limit / chunk_blocks)
        each(first->second, [&](std::uint32_t block) {
            if (block < limit % chunk_blocks) add(rest, static_cast<std::uint16_t>(block));
        });
    chunks_.erase(first, chunks_.end());
    if (!rest.few.empty() || !rest.bits.empty()) chunks_[limit / chunk_blocks] = std::move(rest);
}

bool BlockSet::contains(std::uint32_t block) const {
    const auto chunk = chunks_.find(block / chunk_blocks);
    if (chunk == chunks_.end()) return false;
    const auto low = static_cast<std::uint16_t>(block % chunk_blocks);
    if (chunk->second.bits.empty()) return std::ranges::binary_search(chunk->second.few, low);
    return (chunk->second.bits[low / word_bits] >> low % word_bits & 1) != 0;
}

std::vector<std::uint32_t> BlockSet::between(std::uint64_t first, std::uint64_t end) const {
    std::vector<std::uint32_t> found;
    for (auto chunk = chunks_.lower_bound(static_cast<std::uint32_t>(first / chunk_blocks)); chunk != chunks_.end(); ++chunk) {
        const auto base = std::uint64_t{chunk->first} * chunk_blocks;
        if (base >= end) break;
        each(chunk->second, [&](std::uint32_t low) {
            if (base + low >= first && base + low < end) found.push_back(static_cast<std::uint32_t>(base + low));
        });
    }
    return found;
}

std::uint64_t BlockSet::size() const {
    std::uint64_t count = 0;
    for (const auto& [number, chunk] : chunks_) each(chunk, [&count](std::uint32_t) { ++count; });
    return count;
}

void BlockSet::merge(const BlockSet& other) {
    for (const auto& [number, chunk] : other.chunks_) {
        auto& into = chunks_[number];
        each(chunk, [&](std::uint32_t block) { add(into, static_cast<std::uint16_t>(block)); });
    }
}

void ForkChanges::truncate(std::uint32_t to) {
    limit = std::min(limit.value_or(to), to);
    blocks.cut(to);
}

void BlockChanges::append(const BlockChanges& later) {
    for (const auto& [relation, fork] : later.relations_) {
        auto& mine = relations_[relation];
        if (fork.limit) mine.truncate(*fork.limit);
        mine.blocks.merge(fork.blocks);
    }
    databases_.insert(later.databases_.begin(), later.databases_.end());
}

const ForkChanges* BlockChanges::find(const RelationId& relation) const {
    const auto found = relations_.find(relation);
    return found == relations_.end() ? nullptr : &found->second;
}

} // namespace walgd::pg
