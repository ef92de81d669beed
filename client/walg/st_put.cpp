#include "client/walg/st.hpp"
#include "common/archive/chain.hpp"
#include "common/archive/object_writer.hpp"
#include "common/base/files.hpp"
#include "config/s3_settings.hpp"

#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <unistd.h>

namespace walgd::cli {

namespace {

class Put : public StorageTool {
public:
    std::string name() const override { return "put"; }
    std::string help() const override {
        return "Store a file, compressed (which adds the method's suffix to the name) and encrypted";
    }
    void options(CLI::App& command) override {
        command.add_option("words", words_, "The file, and the object that it becomes; only the latter with --read-stdin")
            ->required()
            ->expected(1, 2);
        command.add_flag("--no-encrypt", no_encrypt_, "Do not encrypt it");
        command.add_flag("--no-compress", no_compress_, "Do not compress it, and leave the name as it is");
        command.add_flag("-f,--force", force_, "Replace what is there");
        command.add_flag("-s,--read-stdin", read_stdin_, "Store what comes from stdin");
    }

    bool in_each_storage() const override {
        if (read_stdin_) throw Error(ErrorKind::misconfigured, "stdin can be read once only", "name one storage by --target");
        return true;
    }

    int run(StorageTools& tools) override {
        if (words_.size() != (read_stdin_ ? 1U : 2U))
            throw Error(ErrorKind::misconfigured,
                        read_stdin_ ? "with --read-stdin there is one path: the object's" : "the object's path is missing");
        auto packing = tools.target.archive().packing;
        if (no_encrypt_) packing.cipher = nullptr;
        if (no_compress_) packing.compression = codec::compression_by_suffix("");
        const auto suffix = packing.compression->suffix();
        const storage::ObjectKey key(clean_path(words_.back()) + (suffix.empty() ? "" : "." + std::string(suffix)));
        store(tools, packing, key, source());
        return 0;
    }

private:
    UniqueFd source() const {
        if (read_stdin_) return UniqueFd(::dup(STDIN_FILENO));
        if (std::filesystem::is_directory(words_.front()))
            throw Error(ErrorKind::misconfigured,
                        fmt::format("provided local path ({}) points to a directory, exiting", words_.front()));
        return open_file(words_.front(), O_RDONLY | O_CLOEXEC);
    }

    void store(StorageTools& tools, const archive::Packing& packing, const storage::ObjectKey& key, UniqueFd file) const {
        auto& archive = tools.target.archive();
        const archive::WriteTarget target{archive.storage, tools.context.io, archive.budget,
                                          config::piece_bytes(tools.target.settings()), tools.context.stop};
        archive::ObjectWriter writer(target, key, {.if_absent = !force_, .metadata = {}});
        archive::PackChain chain(packing, codec::Content::pages, writer);
        const auto name = read_stdin_ ? std::string("stdin") : words_.front();
        Blob chunk(chunk_bytes);
        for (;;) {
            const auto count = read_some(file.get(), {chunk.data(), chunk.capacity()}, name);
            if (count == 0) break;
            chain.head().write({chunk.data(), count});
        }
        chain.head().finish();
        if (writer.outcome() == storage::PutOutcome::exists)
            throw Error(
                ErrorKind::refused,
                fmt::format("check file overwrite: object {} already exists. To overwrite it, add the -f flag", key.path()));
    }

    std::vector<std::string> words_;
    bool no_encrypt_ = false, no_compress_ = false, force_ = false, read_stdin_ = false;
};

} // namespace

std::unique_ptr<StorageTool> make_st_put() { return std::make_unique<Put>(); }

} // namespace walgd::cli
