#include "common/backup/tar_fetch.hpp"

#include "common/archive/chain.hpp"
#include "common/backup/frame_fetch.hpp"
#include "common/backup/member_name.hpp"
#include "common/backup/object_pump.hpp"
#include "common/base/naming.hpp"

namespace walgd::backup {

namespace {

void fetch(archive::Archive& archive, const TarObject& tar, codec::TarReader::Handler& handler, const std::stop_token& stop,
           const std::function<void(std::size_t)>& on_stored, HelperThreads* helpers) {
    const OnIoThread reader(archive.io, run_blocking(archive.io, archive.storage.get(tar.key, {}), stop));
    if (!reader) refuse_vanished();
    codec::TarReader members(handler, tar.key.path());
    archive::UnpackChain unpack(archive.packing.cipher, *tar.compression, members, helpers);
    pump(archive, *reader, unpack.head(), stop, on_stored);
}

/// Keeps pg_control's content.
class ControlReader : public codec::TarReader::Handler {
public:
    void begin(const codec::TarMember& member) override { wanted_ = relative_member(member.name) == control_member; }
    void data(ByteView bytes) override {
        if (wanted_ && content.size() + bytes.size() <= bytes_max) content.append(bytes);
    }
    void end() override {}
    Blob content;

private:
    static constexpr std::size_t bytes_max = 64 << 10;
    bool wanted_ = false;
};

} // namespace

void fetch_tar(archive::Archive& archive, const TarObject& tar, codec::TarReader::Handler& handler, std::stop_token stop,
               const std::function<void(std::size_t)>& on_stored, HelperThreads* helpers) {
    naming(tar.key.path(), [&] { fetch(archive, tar, handler, stop, on_stored, helpers); });
}

void fetch_from_tar(archive::Archive& archive, const TarObject& tar, codec::TarReader::Handler& handler, std::stop_token stop,
                    const std::function<void(std::size_t)>& on_stored, HelperThreads* helpers) {
    naming(tar.key.path(), [&] {
        if (const auto frames = fetch_frame_table(archive, tar, stop))
            fetch_by_frames(archive, tar, *frames, handler, stop, on_stored);
        else
            fetch(archive, tar, handler, stop, on_stored, helpers);
    });
}

void refuse_vanished() {
    throw Error(ErrorKind::corrupt, "was listed, and is not there any more",
                "is something deleting from this archive? Try again, or restore another backup");
}

pg::ControlFile fetch_control(archive::Archive& archive, const TarObject& tar, std::stop_token stop) {
    ControlReader reader;
    fetch_tar(archive, tar, reader, std::move(stop), [](std::size_t) {});
    return pg::parse_control_file(reader.content.view(), tar.key.path());
}

} // namespace walgd::backup
