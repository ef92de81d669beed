#include "common/storage/failover/remembered_names.hpp"

#include <algorithm>

namespace walgd::storage {

namespace {

constexpr std::size_t blocks_max = 4;

} // namespace

RememberedNames::Block* RememberedNames::block_of(const std::string& beginning) {
    std::erase_if(blocks_, [this](const Block& block) { return Clock::now() - block.listed >= lifetime_; });
    const auto found = std::ranges::find(blocks_, beginning, &Block::beginning);
    return found == blocks_.end() ? nullptr : &*found;
}

awaitable<RememberedNames::Block> RememberedNames::listed(std::string beginning) const {
    Block block{.beginning = beginning, .listed = Clock::now(), .paths = {}};
    const auto slash = beginning.rfind('/') + 1; // 0 without one
    ListOptions options;
    options.name_prefix = beginning.substr(slash);
    for (;;) {
        const auto page = co_await storage_.list(beginning.substr(0, slash), options);
        for (const auto& object : page.objects) block.paths.insert(object.key.path());
        if (!page.next) co_return block;
        options.token = page.next;
    }
}

awaitable<bool> RememberedNames::has(ObjectKey key) {
    const auto beginning = neighbours_(key);
    if (beginning.empty()) {
        const auto info = co_await storage_.head(key);
        co_return info.has_value();
    }
    if (const auto* block = block_of(beginning); block != nullptr) co_return block->paths.contains(key.path());
    auto block = co_await listed(beginning);
    const bool there = block.paths.contains(key.path());
    // Another call may have listed the same meanwhile.
    if (block_of(beginning) == nullptr) blocks_.push_back(std::move(block));
    if (blocks_.size() > blocks_max) blocks_.pop_front();
    co_return there;
}

void RememberedNames::stored(const ObjectKey& key) {
    if (auto* block = block_of(neighbours_(key)); block != nullptr) block->paths.insert(key.path());
}

void RememberedNames::removed(const ObjectKey& key) {
    if (auto* block = block_of(neighbours_(key)); block != nullptr) block->paths.erase(key.path());
}

} // namespace walgd::storage
