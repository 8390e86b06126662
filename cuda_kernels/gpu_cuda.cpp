// cuda_kernels/gpu_cuda.cpp -- gpu.h on the CUDA runtime, which is linked in whole: the program starts without a
// driver.
#include <cuda_runtime.h>

#include <map>
#include <utility>
#include <vector>

#include "cuda_kernels/gpu.h"

namespace retort::gpu {

namespace {

void require(cudaError_t code, const char* what) {
  if (code == cudaSuccess) return;
  cudaGetLastError();  // it was told; later calls start afresh
  const std::string message = std::string(what) + ": " + cudaGetErrorString(code);
  switch (code) {
    case cudaErrorMemoryAllocation:
      throw OutOfMemory(message);
    case cudaErrorNoDevice:
    case cudaErrorInsufficientDriver:
    case cudaErrorInvalidDevice:
      throw Unavailable(message);
    case cudaErrorInvalidDevicePointer:
    case cudaErrorInvalidHostPointer:
      throw PointerError(message);
    case cudaErrorIllegalAddress:
      throw KernelFault(Fault::out_of_bounds, message);
    case cudaErrorMisalignedAddress:
      throw KernelFault(Fault::misaligned, message);
    case cudaErrorLaunchFailure:
    case cudaErrorAssert:
    case cudaErrorIllegalInstruction:
      throw KernelFault(Fault::failed, message);
    default:
      throw StateError(message);
  }
}

class CudaDevice final : public Device {
 public:
  explicit CudaDevice(int ordinal) : ordinal_(ordinal) {
    use();
    cudaMemPool_t pool{};
    require(cudaDeviceGetDefaultMemPool(&pool, ordinal), "cudaDeviceGetDefaultMemPool");
    // Memory that was given back stays with the pool until `trim`.
    std::uint64_t keep = ~std::uint64_t{0};
    require(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep), "cudaMemPoolSetAttribute");
    pool_ = pool;
    create_stream();
  }
  ~CudaDevice() override {
    cudaSetDevice(ordinal_);
    cudaDeviceSynchronize();
    for (const auto& [memory, bytes] : sizes_) cudaFree(memory);
    for (cudaGraphExec_t graph : graphs_)
      if (graph) cudaGraphExecDestroy(graph);
    for (cudaEvent_t event : events_)
      if (event) cudaEventDestroy(event);
    for (cudaStream_t stream : streams_)
      if (stream) cudaStreamDestroy(stream);
  }

  bool emulated() const override { return false; }
  Properties properties() const override {
    cudaDeviceProp p{};
    require(cudaGetDeviceProperties(&p, ordinal_), "cudaGetDeviceProperties");
    return {p.name, p.major, p.minor, p.multiProcessorCount, p.totalGlobalMem, p.sharedMemPerBlockOptin};
  }
  MemoryUse memory_use() const override {
    std::uint64_t reserved = 0;
    require(cudaMemPoolGetAttribute(pool_, cudaMemPoolAttrReservedMemCurrent, &reserved), "cudaMemPoolGetAttribute");
    return {used_, reserved > used_ ? reserved - used_ : 0};
  }

  void* allocate(std::size_t bytes, Stream stream) override {
    require_no_capture("allocate");
    if (bytes == 0) return nullptr;
    use();
    void* memory = nullptr;
    const std::size_t charged = size_class(bytes);
    require(cudaMallocAsync(&memory, charged, native(stream)), "allocate");
    sizes_[memory] = charged;
    used_ += charged;
    return memory;
  }
  void release(void* memory, Stream stream) override {
    require_no_capture("release");
    if (!memory) return;
    const auto it = sizes_.find(memory);
    if (it == sizes_.end()) throw PointerError("release: this is not the start of an allocation");
    require(cudaFreeAsync(memory, native(stream)), "release");
    used_ -= it->second;
    sizes_.erase(it);
  }
  void trim() override { require(cudaMemPoolTrimTo(pool_, 0), "trim"); }
  void* allocate_pinned(std::size_t bytes) override {
    require_no_capture("allocate_pinned");
    use();
    void* memory = nullptr;
    require(cudaMallocHost(&memory, bytes > 0 ? bytes : 1), "allocate_pinned");
    return memory;
  }
  void release_pinned(void* memory) override {
    if (!memory) return;
    synchronize();
    require(cudaFreeHost(memory), "release_pinned");
  }

  Stream create_stream() override {
    use();
    cudaStream_t stream{};
    require(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "create_stream");
    streams_.push_back(stream);
    return {this, static_cast<int>(streams_.size()) - 1};
  }
  void destroy(Stream stream) override {
    synchronize(stream);
    require(cudaStreamDestroy(std::exchange(streams_[static_cast<std::size_t>(stream.id)], nullptr)), "destroy");
  }
  Event create_event() override {
    use();
    cudaEvent_t event{};
    require(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "create_event");
    events_.push_back(event);
    return {static_cast<int>(events_.size()) - 1};
  }
  void destroy(Event event) override {
    require(cudaEventDestroy(native(event)), "destroy");
    events_[static_cast<std::size_t>(event.id)] = nullptr;
  }

  void record(Event event, Stream stream) override {
    require(cudaEventRecord(native(event), native(stream)), "record");
  }
  void wait(Stream stream, Event event) override {
    require(cudaStreamWaitEvent(native(stream), native(event), 0), "wait");
  }
  bool done(Event event) override {
    require_no_capture("done");
    const cudaError_t code = cudaEventQuery(native(event));
    if (code == cudaErrorNotReady) return false;
    require(code, "done");
    return true;
  }
  void synchronize(Event event) override {
    require_no_capture("synchronize");
    require(cudaEventSynchronize(native(event)), "synchronize");
  }
  void synchronize(Stream stream) override {
    require_no_capture("synchronize");
    require(cudaStreamSynchronize(native(stream)), "synchronize");
  }
  void synchronize() override {
    require_no_capture("synchronize");
    use();
    require(cudaDeviceSynchronize(), "synchronize");
  }

  void copy_to_device(void* device_memory, const void* pinned, std::size_t bytes, Stream stream) override {
    if (bytes == 0) return;
    require_kind("copy_to_device", pinned, cudaMemoryTypeHost);
    require_kind("copy_to_device", device_memory, cudaMemoryTypeDevice);
    require(cudaMemcpyAsync(device_memory, pinned, bytes, cudaMemcpyHostToDevice, native(stream)), "copy_to_device");
  }
  void copy_to_host(void* pinned, const void* device_memory, std::size_t bytes, Stream stream) override {
    if (bytes == 0) return;
    require_kind("copy_to_host", pinned, cudaMemoryTypeHost);
    require_kind("copy_to_host", device_memory, cudaMemoryTypeDevice);
    require(cudaMemcpyAsync(pinned, device_memory, bytes, cudaMemcpyDeviceToHost, native(stream)), "copy_to_host");
  }
  void copy(void* to, const void* from, std::size_t bytes, Stream stream) override {
    if (bytes > 0) require(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, native(stream)), "copy");
  }
  void fill(void* memory, std::uint8_t byte, std::size_t bytes, Stream stream) override {
    if (bytes > 0) require(cudaMemsetAsync(memory, byte, bytes, native(stream)), "fill");
  }
  void call(std::function<void()> function, Stream stream) override {
    if (open_ >= 0) throw StateError("call: not within a capture, whose replays would need the function again");
    auto held = std::make_unique<std::function<void()>>(std::move(function));
    const auto run = [](void* data) {
      const std::unique_ptr<std::function<void()>> owned(static_cast<std::function<void()>*>(data));
      (*owned)();
    };
    require(cudaLaunchHostFunc(native(stream), run, held.get()), "call");
    static_cast<void>(held.release());
  }

  void call_library(const char* name, const std::string&, std::function<void()>, std::vector<Access>, Stream) override {
    throw StateError(std::string(name) + ": answers of the host are the emulator's");
  }

  void launch(const Kernel& kernel, const LaunchShape& shape, Stream stream) override {
    if (!kernel.entry || kernel.body) throw StateError(std::string(kernel.name) + ": this kernel is the emulator's");
    constexpr std::size_t kWithoutAsking = 48 * 1024;
    if (shape.shared_bytes > kWithoutAsking)
      require(cudaFuncSetAttribute(kernel.entry, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                   static_cast<int>(shape.shared_bytes)),
              kernel.name);
    const dim3 grid(shape.grid.x, shape.grid.y, shape.grid.z), block(shape.block.x, shape.block.y, shape.block.z);
    require(cudaLaunchKernel(kernel.entry, grid, block, kernel.arguments, shape.shared_bytes, native(stream)),
            kernel.name);
  }

  void begin_capture(Stream stream) override {
    require_no_capture("begin_capture");
    require(cudaStreamBeginCapture(native(stream), cudaStreamCaptureModeThreadLocal), "begin_capture");
    open_ = stream.id;
  }
  Graph end_capture(Stream stream) override {
    if (open_ < 0 || open_ != stream.id) throw StateError("end_capture: this stream began no capture");
    open_ = -1;
    cudaGraph_t graph{};
    require(cudaStreamEndCapture(native(stream), &graph), "end_capture");
    cudaGraphExec_t runnable{};
    const cudaError_t code = cudaGraphInstantiate(&runnable, graph, 0);
    cudaGraphDestroy(graph);
    require(code, "end_capture");
    graphs_.push_back(runnable);
    return {static_cast<int>(graphs_.size()) - 1};
  }
  void replay(Graph graph, Stream stream) override {
    require_no_capture("replay");
    require(cudaGraphLaunch(native(graph), native(stream)), "replay");
  }
  void destroy(Graph graph) override {
    require(cudaGraphExecDestroy(native(graph)), "destroy");
    graphs_[static_cast<std::size_t>(graph.id)] = nullptr;
  }

 private:
  void use() const { require(cudaSetDevice(ordinal_), "cudaSetDevice"); }
  void require_no_capture(const char* what) const {
    if (open_ >= 0) throw StateError(std::string(what) + ": not while a capture is open");
  }
  static void require_kind(const char* what, const void* p, cudaMemoryType wanted) {
    cudaPointerAttributes attributes{};
    require(cudaPointerGetAttributes(&attributes, p), what);
    if (attributes.type != wanted)
      throw PointerError(std::string(what) + ": wanted " +
                         (wanted == cudaMemoryTypeHost ? "pinned host memory" : "device memory"));
  }
  template <class T>
  static T held(const std::vector<T>& handles, int id, const char* what) {
    const auto i = static_cast<std::size_t>(id);
    if (id < 0 || i >= handles.size() || !handles[i])
      throw StateError(std::string(what) + " " + std::to_string(id) + " does not belong to this device");
    return handles[i];
  }
  cudaStream_t native(Stream stream) const { return held(streams_, stream.device == this ? stream.id : -1, "stream"); }
  cudaEvent_t native(Event event) const { return held(events_, event.id, "event"); }
  cudaGraphExec_t native(Graph graph) const { return held(graphs_, graph.id, "graph"); }

  int ordinal_;
  int open_ = -1;  ///< the stream whose capture is open
  cudaMemPool_t pool_{};
  std::vector<cudaStream_t> streams_;
  std::vector<cudaEvent_t> events_;
  std::vector<cudaGraphExec_t> graphs_;
  std::map<void*, std::size_t> sizes_;
  std::size_t used_ = 0;
};

}  // namespace

int cuda_devices() {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess) {
    cudaGetLastError();
    return 0;
  }
  return count;
}

std::unique_ptr<Device> open_cuda(int ordinal) { return std::make_unique<CudaDevice>(ordinal); }

}  // namespace retort::gpu
