#include "common/backup/page_scan.hpp"

#include "common/backup/pgdata_walk.hpp"

#include <algorithm>

namespace walgd::backup {

PageScan::PageScan(const BackupSpan& span, const BackupPages& pages) : span_(span), pages_(pages), page_(pages.block_bytes) {}

bool PageScan::begin(std::string_view member) {
    page_.clear();
    block_ = 0;
    if (member.starts_with("./")) member.remove_prefix(1);
    if (member.starts_with('/')) member.remove_prefix(1);
    const bool in_place = member.starts_with("base/") || member.starts_with("global/") || member.starts_with("pg_tblspc/");
    RelationFile relation;
    if (!in_place || !parse_relation_file(member.substr(member.rfind('/') + 1), relation) || !relation.fork.empty()) return false;
    first_block_ = static_cast<std::uint32_t>(relation.segment * (pages_.relation_file_bytes / pages_.block_bytes));
    return true;
}

bool PageScan::damaged(ByteView page, std::uint32_t block) const {
    const auto state = pg::check_page(page, first_block_ + block);
    const bool torn = state == pg::PageState::bad_checksum && (!pages_.checksums || may_be_torn(pg::page_lsn(page)));
    return state != pg::PageState::valid && state != pg::PageState::fresh && !torn;
}

void PageScan::write(ByteView bytes, const OnDamage& on_damage) {
    auto check = [&](ByteView page) {
        if (damaged(page, block_)) on_damage(block_);
        ++block_;
    };
    while (!bytes.empty()) {
        if (page_.empty() && bytes.size() >= pages_.block_bytes) {
            check(bytes.first(pages_.block_bytes));
            bytes = bytes.subspan(pages_.block_bytes);
            continue;
        }
        const auto count = std::min<std::size_t>(bytes.size(), pages_.block_bytes - page_.size());
        page_.append(bytes.first(count));
        bytes = bytes.subspan(count);
        if (page_.size() < pages_.block_bytes) continue;
        check(page_.view());
        page_.clear();
    }
}

} // namespace walgd::backup
