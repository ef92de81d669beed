#pragma once
#include "common/codec/frame_table.hpp"
#include "common/codec/sink.hpp"
#include "common/codec/tar_header.hpp"
#include "common/codec/tar_member.hpp"

#include <cstdint>
#include <string>

namespace walgd::codec {

/// The end of a chain that is given a tar: tells a handler about its members as they come. Reads ustar, pax, GNU long names and
/// pre-POSIX headers; the tars of remote backups, which have no end mark and may lack the last padding; and passes over
/// what is neither file, directory nor symlink. Keeps no more than a header or its extension (1 MiB). Broken tars are an
/// Error(corrupt) that names `object` and the member. Names are handed on as they are, but for a slash behind directories:
/// whoever makes files of them checks where they lead.
class TarReader final : public Sink {
public:
    class Handler {
    public:
        virtual ~Handler() = default;
        virtual void begin(const TarMember& member) = 0;
        /// The content of a file, in order; in all `member.size` bytes. The bytes are gone after the call.
        virtual void data(ByteView bytes) = 0;
        virtual void end() = 0;
        /// Whether of the content that comes the `count` bytes behind the next `after` are of no use: skip() may tell of them in
        /// place of data(). What is told once stays so.
        virtual bool can_skip(std::uint64_t /*after*/, std::uint64_t /*count*/) const { return false; }
        virtual void skip(std::uint64_t /*count*/) {}
        /// Whether the next `count` bytes, which `hash` is of, are there already: the same as can_skip() then.
        virtual bool has(std::uint64_t /*count*/, const ContentHash& /*hash*/) { return false; }
        /// One that is neither file, directory nor symlink: a fifo, a device. Nothing more comes of it.
        virtual void other(const TarMember& /*member*/) {}
    };

    /// `handler` must outlive the reader.
    TarReader(Handler& handler, std::string object) : handler_(handler), object_(std::move(object)) {}
    void write(ByteView bytes) override;
    /// Error(corrupt) when the tar ends inside a member.
    void finish() override;
    /// Within one member's content alone: headers are always read.
    bool can_skip(std::uint64_t after, std::uint64_t count) const override;
    void skip(std::uint64_t count) override;
    /// The handler has the next `count` bytes, all of one member: skip() may come.
    bool has(std::uint64_t count, const ContentHash& hash);

private:
    enum class At { header, content, ignored, pax, long_name, long_link, padding, tail };

    std::size_t step(ByteView bytes);
    void read_header();
    void start(tar::RawHeader header);
    void start_member(tar::RawHeader header);
    void start_extension(At extension, std::uint64_t size);
    std::size_t read_content(ByteView bytes);
    std::size_t read_extension(ByteView bytes);
    void content_done();
    void apply_extensions(TarMember& member);
    [[noreturn]] void refuse(std::string_view cause) const;

    Handler& handler_;
    std::string object_, last_name_;
    At at_ = At::header;
    tar::Block block_{};
    std::size_t block_used_ = 0;
    std::uint64_t left_ = 0;  // of the content, extension or padding
    std::size_t padding_ = 0; // behind them
    std::string extension_, pax_, long_name_, long_link_;
};

} // namespace walgd::codec
