// Training a decoder language model on the documents of a dataset.
#pragma once

#include <memory>

#include "jobs/train_config.h"
#include "jobs/train_task.h"
#include "kernels/device/device_backend.h"
#include "runtime/data/dataset.h"

namespace tutti {

// Throws Error on all ranks where the dataset does not do, or the configuration not for the device.
// Dataset, configuration and device (null: the CPU) outlive the task.
std::unique_ptr<TrainTask> make_language_task(Comm& comm, const TrainConfig& config,
                                              const Dataset& dataset, DType compute,
                                              PhaseTimer& phases, DeviceSession* device);

}  // namespace tutti
