#include "client/walg/st.hpp"
#include "common/archive/object_copy.hpp"
#include "config/s3_settings.hpp"

#include <fmt/format.h>

namespace walgd::cli {

namespace {

/// Decrypts, then encrypts: one owner of both stages.
class Recrypt : public codec::Sink {
public:
    Recrypt(const codec::Cipher* from, const codec::Cipher* to, codec::Sink& end) {
        if (to != nullptr) encrypt_ = to->encryptor(end);
        auto& next = encrypt_ ? *encrypt_ : end;
        if (from != nullptr) decrypt_ = from->decryptor(next);
        head_ = decrypt_ ? decrypt_.get() : &next;
    }
    void write(ByteView bytes) override { head_->write(bytes); }
    void finish() override { head_->finish(); }

private:
    std::unique_ptr<codec::Sink> encrypt_, decrypt_;
    codec::Sink* head_;
};

class CopyObjects : public StorageTool {
public:
    std::string name() const override { return "copy"; }
    std::string help() const override { return "Copy objects from one archive to another, replacing what is there"; }
    void options(CLI::App& command) override {
        command.add_option("--from", from_, "Settings file of the archive to copy from")->required();
        command.add_option("--to", to_, "Settings file of the archive to copy to")->required();
        command.add_option("-p,--prefix", prefix_, "Only objects whose path begins so");
        command.add_flag("-d,--decrypt-source", decrypt_, "Decrypt with the source's key");
        command.add_flag("-e,--encrypt-source", encrypt_, "Encrypt with the target's key");
    }

    int run(StorageTools& tools) override {
        auto& context = tools.context;
        OtherArchive from(context, from_), to(context, to_);
        context.log.info("Collecting files with prefix {}.", prefix_);
        auto all = run_blocking(context.io, storage::list_all(from.archive().storage, "", true), context.stop);
        std::erase_if(all.objects, [&](const storage::ObjectInfo& object) { return !object.key.path().starts_with(prefix_); });
        auto& target = to.archive();
        archive::CopyRoute route{
            .from = from.archive().storage,
            .to = {target.storage, context.io, target.budget, config::piece_bytes(to.settings()), context.stop},
            .at_once = context.at_once()};
        const auto* decryptor = decrypt_ ? cipher_of(from, from_) : nullptr;
        const auto* encryptor = encrypt_ ? cipher_of(to, to_) : nullptr;
        if (decryptor != nullptr || encryptor != nullptr)
            route.change = [&](codec::Sink& end) { return std::make_unique<Recrypt>(decryptor, encryptor, end); };
        const auto copied = archive::copy_objects(route, all.objects, {}, archive::Existing::replace);
        context.log.info("Successfully copied {} objects", copied.objects);
        return 0;
    }

private:
    static const codec::Cipher* cipher_of(OtherArchive& archive, const std::string& file) {
        if (const auto* cipher = archive.archive().packing.cipher) return cipher;
        throw Error(ErrorKind::misconfigured, fmt::format("{} has no key", file), "set WALG_LIBSODIUM_KEY or WALG_PGP_KEY there");
    }

    std::string from_, to_, prefix_;
    bool decrypt_ = false, encrypt_ = false;
};

} // namespace

std::unique_ptr<StorageTool> make_st_copy() { return std::make_unique<CopyObjects>(); }

} // namespace walgd::cli
