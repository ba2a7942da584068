// Low-rank adapters in the names and files of Hugging Face's PEFT.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "jobs/decoder_source.h"
#include "kernels/model/adapters.h"
#include "kernels/model/decoder.h"

namespace tutti {

// Adapters for the linear modules of each layer whose path ends in one of `modules`, such as
// "q_proj" or "mlp.c_proj"; none named: for all of them. Throws Error(usage) naming what the model
// has where one matches nothing.
AdapterShape adapters_for(const DecoderShape& shape, std::int64_t rank, double alpha,
                          const std::vector<std::string>& modules);

// Writes adapter_config.json and adapter_model.safetensors, which PEFT loads beside the base model.
// Local; the source must hold adapters. Throws Error(io), and Error(data) as load_parameters()
// does. Returns the number of tensors.
std::int64_t write_peft_adapters(const std::filesystem::path& folder, const DecoderSource& source);

}  // namespace tutti
