// cuda_kernels/scan.cu -- instances and launcher of scans.
#include "cuda_kernels/scan.cuh"

namespace retort::kernels::RETORT_BACKEND {

template <class F>
static void visit_scan(ScanKind kind, F&& f) {
  switch (kind) {
    case ScanKind::sum:
      return f(TypeTag<SumScan>{});
    case ScanKind::product:
      return f(TypeTag<ProductScan>{});
    case ScanKind::log_sum:
      return f(TypeTag<LogSumScan>{});
    case ScanKind::recurrence:
      return f(TypeTag<RecurrenceScan>{});
  }
}

void scan(const Scan& a, gpu::Stream stream) {
  if (a.rows == 0 || a.columns == 0) return;
  unsigned threads = kWarpSize;
  while (threads < kScanThreads && threads < a.columns) threads *= 2;
  const gpu::LaunchShape shape{{blocks_for(a.rows, 1)}, {threads}};
  visit_training("scan", a.type, [&](auto tag) {
    using T = typename decltype(tag)::type;
    visit_scan(a.kind, [&](auto rule) {
      RETORT_LAUNCH(stream, shape, (scan_rows<T, typename decltype(rule)::type>), static_cast<const T*>(a.x),
                    static_cast<const T*>(a.a), static_cast<T*>(a.y), a.columns, a.reverse, a.exclusive);
    });
  });
}

}  // namespace retort::kernels::RETORT_BACKEND
