#include "common/storage/s3/s3_storage.hpp"

#include "common/storage/s3/answers.hpp"
#include "common/storage/s3/client.hpp"
#include "common/storage/s3/confirmed.hpp"
#include "common/storage/s3/s3_reader.hpp"
#include "common/storage/s3/s3_upload.hpp"

#include <algorithm>
#include <cstdlib>
#include <fmt/format.h>

namespace walgd::storage {

namespace {

constexpr std::string_view metadata_head = "x-amz-meta-";
/// By one request: nothing is heard of it until it is done.
constexpr std::uint64_t copied_at_once = 64 << 20;

ObjectInfo info_of(ObjectKey key, const HttpHead& head) {
    ObjectInfo info;
    info.key = std::move(key);
    info.bytes = head.content_length.value_or(0);
    info.etag = head.header("etag");
    info.modified = parse_http_date(head.header("last-modified")).value_or(Modified{});
    for (const auto& [name, value] : head.headers) {
        if (name.starts_with(metadata_head)) info.metadata[name.substr(metadata_head.size())] = value;
    }
    // "bytes 0-9/100": the whole object's size stands behind the slash.
    const auto range = head.header("content-range");
    if (const auto slash = range.find('/'); slash != std::string::npos)
        info.bytes = std::strtoull(range.c_str() + slash + 1, nullptr, 10);
    return info;
}

class S3Storage : public Storage {
public:
    /// `way`: the I/O thread's executor, or a transport.
    template <class Way> S3Storage(S3Options options, Way way, Log& log) : client_(std::move(options), std::move(way), log) {}

    std::string describe() const override { return client_.describe(); }

    awaitable<PutOutcome> put(ObjectKey key, ByteView body, PutOptions options) override {
        S3Request request;
        request.method = "PUT";
        request.key = key.path();
        request.body = body;
        request.body_sha256 = sha256_hex(body);
        request.headers = object_headers(options);
        request.headers.emplace_back(std::string(metadata_head) + std::string(stored_sha256), request.body_sha256);
        request.what = fmt::format("cannot put {}", client_.name_of(key.path()));
        auto call = options.if_absent ? client_.call_if_absent(request, xml_bytes_max) : client_.call(request, xml_bytes_max);
        const auto answer = co_await std::move(call);
        if (answer.head.status == 412 && answer.head.resent)
            throw Error(ErrorKind::transient,
                        fmt::format("{}: it is there, and an earlier request for it had no answer", request.what));
        if (answer.head.status == 412) co_return PutOutcome::exists;
        check_confirmed(answer.head, request);
        co_return PutOutcome::stored;
    }

    awaitable<std::unique_ptr<Upload>> start_upload(ObjectKey key, PutOptions options) override {
        S3Request request;
        request.method = "POST";
        request.key = key.path();
        request.query = {{"uploads", ""}};
        request.headers = object_headers(options);
        request.what = fmt::format("cannot start the upload of {}", client_.name_of(key.path()));
        const auto answer = co_await client_.call(request, xml_bytes_max);
        std::unique_ptr<Upload> upload =
            std::make_unique<S3Upload>(client_, key, parse_upload_id(answer.body), options.if_absent);
        co_return upload;
    }

    awaitable<CopyOutcome> copy(ObjectKey from, ObjectKey to) override {
        const auto source = co_await head(from);
        if (!source) co_return CopyOutcome::absent;
        if (source->bytes > copied_at_once) {
            const auto outcome = co_await copy_by_pieces(*source, to);
            co_return outcome;
        }
        S3Request request;
        request.method = "PUT";
        request.key = to.path();
        request.headers = object_headers({});
        for (auto& header : client_.copy_source_headers(from.path())) request.headers.push_back(std::move(header));
        request.what = fmt::format("cannot copy {} to {}", client_.name_of(from.path()), client_.name_of(to.path()));
        request.accepted = {200, 404, 405, 501};
        const auto answer = co_await client_.call(request, xml_bytes_max);
        const auto outcome = outcome_of_copy(answer, request.what);
        if (outcome == CopyOutcome::copied) check_copied(answer.body, request.what);
        co_return outcome;
    }

    awaitable<std::optional<ObjectInfo>> head(ObjectKey key) override {
        const auto found = co_await client_.head(key.path());
        if (!found) co_return std::nullopt;
        check_is_s3(*found, fmt::format("cannot look at {}", client_.name_of(key.path())));
        co_return info_of(key, *found);
    }

    awaitable<std::unique_ptr<ObjectReader>> get(ObjectKey key, ByteRange range) override {
        S3Request request;
        request.method = "GET";
        request.key = key.path();
        request.headers = client_.customer_key_headers();
        const bool whole = range.offset == 0 && !range.length;
        if (!whole)
            request.headers.emplace_back("range", range.length
                                                      ? fmt::format("bytes={}-{}", range.offset, range.offset + *range.length - 1)
                                                      : fmt::format("bytes={}-", range.offset));
        request.what = fmt::format("cannot get {}", client_.name_of(key.path()));
        auto answer = co_await client_.open(request);
        std::unique_ptr<ObjectReader> reader;
        if (answer) {
            const auto status = answer->head().status;
            check_is_s3(answer->head(), request.what);
            if (!whole && status != 206 && range.offset > 0)
                throw Error(
                    ErrorKind::misconfigured, fmt::format("{}: the server does not know ranged reads", request.what),
                    "a read that breaks cannot go on: does the server, and what is between it and us, know HTTP's Range?");
            auto info = info_of(key, answer->head());
            reader = std::make_unique<S3Reader>(std::move(answer), std::move(info), request.what, whole);
        }
        co_return reader;
    }

    awaitable<ListPage> list(std::string folder, ListOptions options) override {
        S3Request request;
        request.method = "GET";
        request.query = {
            {"encoding-type", "url"}, {"list-type", "2"}, {"prefix", client_.full_key(folder + options.name_prefix)}};
        if (!options.recursive) request.query.emplace_back("delimiter", "/");
        if (options.token)
            request.query.emplace_back("continuation-token", *options.token);
        else if (!options.after.empty())
            request.query.emplace_back("start-after", client_.full_key(folder + options.after));
        request.what = fmt::format("cannot list {}", client_.name_of(folder + options.name_prefix));
        const auto answer = co_await client_.call(request, xml_bytes_max);
        auto page = parse_list(answer.body);
        if (page.next && page.next == options.token)
            throw Error(ErrorKind::misconfigured, fmt::format("{}: each page says that the same one comes next", request.what),
                        "does the server, and what is between it and us, know ListObjectsV2's continuation-token?");
        const auto prefix = client_.full_key("").size();
        auto relative = [prefix](const std::string& key) { return key.size() >= prefix ? key.substr(prefix) : key; };
        for (auto& object : page.objects) object.key = ObjectKey(relative(object.key.path()));
        for (auto& name : page.folders) name = relative(name);
        if (!options.after.empty()) { // not every server knows start-after
            const auto last = folder + options.after;
            std::erase_if(page.objects, [&](const ObjectInfo& object) { return object.key.path() <= last; });
            std::erase_if(page.folders, [&](const std::string& name) { return name <= last; });
        }
        // Some consoles make an empty object to stand for the folder itself.
        std::erase_if(page.objects, [&](const ObjectInfo& object) { return object.key.path() == folder; });
        co_return page;
    }

    awaitable<std::vector<RemoveFailure>> remove(std::vector<ObjectKey> keys) override {
        std::vector<RemoveFailure> failures;
        for (std::size_t begin = 0; begin < keys.size(); begin += client_.options().delete_batch) {
            const auto end = std::min(keys.size(), begin + client_.options().delete_batch);
            std::vector<std::string> names;
            for (auto index = begin; index < end; ++index) names.push_back(client_.full_key(keys[index].path()));
            const auto body = delete_body(names);
            S3Request request;
            request.method = "POST";
            request.query = {{"delete", ""}};
            request.body = bytes_of(body);
            request.headers = {{"content-md5", content_md5(body)}, {"content-type", "application/xml"}};
            request.what = fmt::format("cannot remove {} objects from {}", names.size(), describe());
            const auto answer = co_await client_.call(request, xml_bytes_max);
            for (const auto& failure : parse_delete(answer.body)) {
                const auto prefix = client_.full_key("").size();
                const auto key = failure.key.size() >= prefix ? failure.key.substr(prefix) : failure.key;
                if (failure.code == "NoSuchKey") continue;
                failures.push_back({ObjectKey(key), error_of(failure, fmt::format("cannot remove {}", client_.name_of(key)))});
            }
        }
        co_return failures;
    }

    awaitable<std::size_t> remove_stale_uploads(std::string folder, std::chrono::seconds age) override {
        const auto prefix = client_.full_key("").size();
        const auto before = std::chrono::system_clock::now() - age;
        std::size_t removed = 0;
        UploadsPage page;
        do {
            const auto after = std::pair(page.next_key, page.next_id);
            page = co_await list_uploads(folder, after.first, after.second);
            if (std::pair(page.next_key, page.next_id) == after) page.next_key.clear(); // a server that knows no second page
            for (const auto& upload : page.uploads) {
                if (upload.key.size() < prefix || upload.started > before) continue;
                S3Upload stale(client_, ObjectKey(upload.key.substr(prefix)), upload.id, false);
                co_await stale.abort();
                ++removed;
            }
        } while (!page.next_key.empty());
        co_return removed;
    }

    std::vector<Expiry> expiries() const override { return client_.expiries(); }

    awaitable<RemovedObjects> removed_objects() override {
        RemovedObjects removed;
        const auto versioning = co_await ask_bucket("versioning");
        if (versioning) removed.versions_stay = parse_versioning(*versioning);
        const auto lock = co_await ask_bucket("object-lock");
        if (lock) removed.lock = parse_object_lock(*lock);
        co_return removed;
    }

private:
    awaitable<CopyOutcome> copy_by_pieces(ObjectInfo source, ObjectKey to) {
        const PutOptions options{.if_absent = false, .metadata = source.metadata};
        const auto started = co_await start_upload(to, options);
        auto& upload = static_cast<S3Upload&>(*started);
        const auto piece_bytes = std::max<std::uint64_t>(copied_at_once, source.bytes / pieces_max + 1);
        auto outcome = CopyOutcome::copied;
        std::optional<Error> failure;
        try {
            int number = 0;
            for (std::uint64_t offset = 0; offset < source.bytes && outcome == CopyOutcome::copied; offset += piece_bytes) {
                const ByteRange range{offset, std::min(piece_bytes, source.bytes - offset)};
                outcome = co_await upload.copy_piece(++number, source.key, range);
            }
            if (outcome == CopyOutcome::copied) {
                co_await upload.complete();
            }
        } catch (const Error& error) {
            failure = error;
        }
        if (!failure && outcome == CopyOutcome::copied) co_return outcome;
        try {
            co_await upload.abort();
        } catch (const Error& error) {
            if (!failure) failure = error; // else what failed first is the cause
        }
        if (failure) throw *failure;
        co_return outcome;
    }

    awaitable<UploadsPage> list_uploads(std::string folder, std::string after_key, std::string after_id) {
        S3Request request;
        request.method = "GET";
        request.query = {{"prefix", client_.full_key(folder)}, {"uploads", ""}};
        if (!after_key.empty()) {
            request.query.emplace_back("key-marker", after_key);
            request.query.emplace_back("upload-id-marker", after_id);
        }
        request.what = fmt::format("cannot list the unfinished uploads of {}", client_.name_of(folder));
        const auto answer = co_await client_.call(request, xml_bytes_max);
        co_return parse_uploads(answer.body);
    }

    /// One of the bucket's own settings; nothing where the server has none, does not know the question or does not let us ask.
    awaitable<std::optional<std::string>> ask_bucket(std::string setting) {
        S3Request request;
        request.method = "GET";
        request.query = {{setting, ""}};
        request.what = fmt::format("cannot ask {} for its {} setting", describe(), setting);
        request.accepted = {200, 404, 405, 501};
        try {
            auto answer = co_await client_.call(request, xml_bytes_max);
            if (answer.head.status == 200) co_return std::move(answer.body);
        } catch (const Error& error) {
            if (error.kind() != ErrorKind::denied && error.kind() != ErrorKind::misconfigured) throw;
        }
        co_return std::nullopt;
    }

    HttpFields object_headers(const PutOptions& options) const {
        auto headers = client_.encryption_headers();
        if (!client_.options().storage_class.empty() && client_.options().storage_class != "STANDARD")
            headers.emplace_back("x-amz-storage-class", client_.options().storage_class);
        for (const auto& [name, value] : options.metadata) {
            // The storage's own, that a copied object has from where it was: named twice, no server takes the signature.
            if (name != stored_sha256) headers.emplace_back(std::string(metadata_head) + name, value);
        }
        return headers;
    }

    S3Client client_;
};

} // namespace

std::unique_ptr<Storage> make_s3_storage(S3Options options, asio::any_io_executor io, Log& log) {
    return std::make_unique<S3Storage>(std::move(options), std::move(io), log);
}

std::unique_ptr<Storage> make_s3_storage(S3Options options, std::unique_ptr<Transport> transport, Log& log) {
    return std::make_unique<S3Storage>(std::move(options), std::move(transport), log);
}

} // namespace walgd::storage
