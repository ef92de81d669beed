#include "common/base/error.hpp"
#include "common/base/little_endian.hpp"
#include "common/pg/wal_blocks.hpp"
#include "common/pg/wal_layout.hpp"

#include <fmt/format.h>

namespace walgd::pg {

namespace {

using namespace wal_layout;

constexpr unsigned xact_manager = 1, smgr_manager = 2, dbase_manager = 4;

constexpr unsigned blocks_max = 32, top_xid_id = 252, origin_id = 253, long_data_id = 254, short_data_id = 255;
constexpr unsigned fork_bits = 0x0F, has_image = 0x10, same_relation = 0x80;
constexpr unsigned image_hole = 0x01, image_compressed_14 = 0x02, image_compressed_15 = 0x04 | 0x08 | 0x10;

[[noreturn]] void refuse_record(const std::string& cause) { throw Error(ErrorKind::corrupt, cause); }

/// Takes numbers off the front.
class Bytes {
public:
    explicit Bytes(ByteView bytes) : bytes_(bytes) {}
    template <class Number> Number take() { return number_at<Number>(take(sizeof(Number)), 0); }
    ByteView take(std::size_t count) {
        if (bytes_.size() < count) refuse_record("a WAL record is shorter than what it says of itself");
        const auto part = bytes_.first(count);
        bytes_ = bytes_.subspan(count);
        return part;
    }
    RelationId relation() {
        RelationId id;
        id.tablespace = take<std::uint32_t>();
        id.database = take<std::uint32_t>();
        id.relation = take<std::uint32_t>();
        return id;
    }
    std::size_t size() const { return bytes_.size(); }

private:
    ByteView bytes_;
};

void read_smgr(unsigned kind, Bytes data, BlockChanges& changes) {
    constexpr unsigned create = 0x10, truncate = 0x20, heap = 0x1;
    if (kind == create) {
        const auto relation = data.relation();
        if (data.take<std::uint32_t>() == main_fork) changes.of(relation).truncate(0);
    } else if (kind == truncate) {
        const auto block = data.take<std::uint32_t>();
        const auto relation = data.relation();
        if ((data.take<std::uint32_t>() & heap) != 0) changes.of(relation).truncate(block);
    }
}

/// Files that a transaction removed at its end.
void read_xact(unsigned info, Bytes data, BlockChanges& changes) {
    constexpr unsigned kind_bits = 0x70, commit = 0x00, abort = 0x20, commit_prepared = 0x30, abort_prepared = 0x40,
                       has_info = 0x80;
    constexpr std::uint32_t database = 1, children = 2, relations = 4;
    const auto kind = info & kind_bits;
    if (kind != commit && kind != abort && kind != commit_prepared && kind != abort_prepared) return;
    data.take<std::int64_t>(); // its time
    if ((info & has_info) == 0) return;
    const auto parts = data.take<std::uint32_t>();
    if ((parts & database) != 0) data.take(8);
    if ((parts & children) != 0) data.take(std::size_t{4} * data.take<std::uint32_t>());
    if ((parts & relations) == 0) return;
    for (auto count = data.take<std::uint32_t>(); count > 0; --count) changes.of(data.relation()).truncate(0);
}

void read_dbase(unsigned kind, int version, Bytes data, BlockChanges& changes) {
    constexpr unsigned create = 0x00, drop_14 = 0x10, create_by_wal = 0x10, drop_15 = 0x20;
    const auto database = data.take<std::uint32_t>();
    if (kind == create || (version >= 15 && kind == create_by_wal)) {
        changes.replace_database(data.take<std::uint32_t>(), database);
    } else if (kind == (version >= 15 ? drop_15 : drop_14)) {
        for (auto count = data.take<std::uint32_t>(); count > 0; --count)
            changes.replace_database(data.take<std::uint32_t>(), database);
    }
}

void read_xlog(unsigned kind, Bytes data) {
    constexpr unsigned parameters = 0x60;
    constexpr int minimal = 0;
    if (kind != parameters) return;
    data.take(20);
    if (data.take<std::int32_t>() == minimal)
        throw Error(ErrorKind::refused, "wal_level was minimal, so that WAL does not tell all that changed");
}

/// The references to blocks that stand in front of a record's data. Returns the length of the main data.
class References {
public:
    References(int version, BlockChanges& changes) : version_(version), changes_(changes) {}

    std::size_t read(Bytes headers) {
        std::size_t main_bytes = 0;
        // What is left, once all that was announced is taken off, is the data.
        while (headers.size() > announced_) {
            const unsigned id = headers.take<std::uint8_t>();
            if (id <= blocks_max) {
                read_block(headers);
            } else if (id == short_data_id || id == long_data_id) {
                main_bytes = id == short_data_id ? headers.take<std::uint8_t>() : headers.take<std::uint32_t>();
                announced_ += main_bytes;
                break; // comes last
            } else if (id == origin_id) {
                headers.take(2);
            } else if (id == top_xid_id && version_ >= 14) {
                headers.take(4);
            } else {
                refuse_record(fmt::format("a WAL record has a part {}, which nobody knows", id));
            }
        }
        if (headers.size() != announced_) refuse_record("a WAL record is not as long as its parts");
        return main_bytes;
    }

private:
    void read_block(Bytes& headers) {
        const unsigned flags = headers.take<std::uint8_t>();
        announced_ += headers.take<std::uint16_t>();
        if ((flags & has_image) != 0) {
            announced_ += headers.take<std::uint16_t>();
            headers.take(2);
            const unsigned image = headers.take<std::uint8_t>();
            const auto compressed = version_ >= 15 ? image_compressed_15 : image_compressed_14;
            if ((image & image_hole) != 0 && (image & compressed) != 0) headers.take(2);
        }
        if ((flags & same_relation) == 0)
            relation_ = headers.relation();
        else if (relation_ == RelationId{})
            refuse_record("a WAL record refers to the relation of a block before, and has none");
        const auto block = headers.take<std::uint32_t>();
        if ((flags & fork_bits) == main_fork) changes_.of(relation_).blocks.add(block);
    }

    int version_;
    BlockChanges& changes_;
    RelationId relation_;
    std::size_t announced_ = 0;
};

} // namespace

void read_record_changes(ByteView record, int server_version, BlockChanges& changes) {
    if (record.size() < record_header_bytes) refuse_record("a WAL record is shorter than its header");
    const auto info = std::to_integer<unsigned>(record[info_at]), manager = std::to_integer<unsigned>(record[manager_at]);
    const auto main_bytes = References(server_version, changes).read(Bytes(record.subspan(record_header_bytes)));
    const Bytes data(record.last(main_bytes));
    if (manager == smgr_manager) read_smgr(info & 0xF0U, data, changes);
    if (manager == xact_manager) read_xact(info, data, changes);
    if (manager == dbase_manager) read_dbase(info & 0xF0U, server_version, data, changes);
    if (manager == xlog_manager) read_xlog(info & 0xF0U, data);
}

} // namespace walgd::pg
