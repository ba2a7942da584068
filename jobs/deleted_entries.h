// Entries of an index that are deleted: they stand in its shards still, and files of the index name
// them, one file a change.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "jobs/entry_set.h"
#include "jobs/index_folder.h"
#include "runtime/io/file_record.h"

namespace tutti {

// Writes such a file, durably: ascending rows of the table `entries`. Local; throws Error(io).
FileRecord write_deleted(const std::filesystem::path& folder, const std::string& name,
                         std::span<const std::int64_t> rows);

// How many the files of a manifest name. Throws Error(data) where one is no such file. Local.
std::int64_t count_deleted(const Manifest& manifest);

// Those of the entries that are not deleted. Local; throws Error(data) where a file is damaged, or
// names what it may not.
EntrySet live_entries(const IndexFolder& index, Range entries);

}  // namespace tutti
