import Foundation

/// Memory that ends where a page begins that nobody may touch: reading or writing beyond it ends the program.
struct GuardedBuffer<Element>: ~Copyable {
  let elements: UnsafeMutableBufferPointer<Element>
  private let mapping: UnsafeMutableRawPointer
  private let length: Int

  init(_ values: [Element]) {
    let page = Int(sysconf(Int32(_SC_PAGESIZE)))
    let bytes = values.count * MemoryLayout<Element>.stride
    let usable = max((bytes + page - 1) / page, 1) * page
    length = usable + page
    mapping = mmap(nil, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    precondition(mapping != MAP_FAILED && mprotect(mapping + usable, page, PROT_NONE) == 0)
    let start = (mapping + usable - bytes).bindMemory(to: Element.self, capacity: values.count)
    elements = UnsafeMutableBufferPointer(start: start, count: values.count)
    _ = elements.initialize(from: values)
  }

  deinit {
    munmap(mapping, length)
  }

  var values: [Element] { Array(elements) }
  var pointer: UnsafeMutablePointer<Element> { elements.baseAddress! }
}

/// A simple generator for test data: the same numbers in every run.
struct TestNumbers {
  private var state: UInt64

  init(seed: UInt64 = 1) {
    state = seed &* 0x9E37_79B9_7F4A_7C15 | 1
  }

  /// In -1 ..< 1.
  mutating func next() -> Float {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Float(Int32(truncatingIfNeeded: state >> 33)) / Float(1 << 30) - 1
  }

  mutating func array(_ count: Int) -> [Float] {
    (0..<count).map { _ in next() }
  }
}
