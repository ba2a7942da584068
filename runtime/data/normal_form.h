// Unicode's normal forms, as the Python package `tokenizers` computes them: characters newer than
// its tables stay.
#pragma once

#include "runtime/data/text_normalizer.h"

namespace tutti {

enum class NormalForm { nfc, nfd, nfkc, nfkd };

// Whether the form leaves `text` as it is; false where that is not plain at a glance.
bool plainly_normal(std::string_view text, NormalForm form);

// Appends the form of `text` to `out`.
void normalize_to(NormalForm form, const MappedView& text, NormalizerScratch& scratch,
                  MappedText& out);

// Decomposes `scratch.characters` and puts their marks in order.
void decompose(bool compatibly, NormalizerScratch& scratch);

}  // namespace tutti
