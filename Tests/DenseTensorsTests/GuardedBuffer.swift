import Foundation
import Testing

/// Memory that ends where a page begins that nobody may touch: reading or writing beyond it ends the program. What
/// lies before it may be read, and having been written when the buffer goes is an issue of the test.
struct GuardedBuffer<Element>: ~Copyable {
  let elements: UnsafeMutableBufferPointer<Element>
  private let mapping: UnsafeMutableRawPointer
  private let length: Int
  private let slack: Int
  private static var slackByte: UInt8 { 0xA5 }

  init(_ values: [Element]) {
    let page = Int(sysconf(Int32(_SC_PAGESIZE)))
    let bytes = values.count * MemoryLayout<Element>.stride
    // At least a page of slack in front.
    let usable = (bytes + page - 1) / page * page + page
    length = usable + page
    slack = usable - bytes
    mapping = mmap(nil, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    precondition(mapping != MAP_FAILED && mprotect(mapping + usable, page, PROT_NONE) == 0)
    mapping.initializeMemory(as: UInt8.self, repeating: Self.slackByte, count: slack)
    let start = (mapping + slack).bindMemory(to: Element.self, capacity: values.count)
    elements = UnsafeMutableBufferPointer(start: start, count: values.count)
    _ = elements.initialize(from: values)
  }

  deinit {
    let isIntact = UnsafeRawBufferPointer(start: mapping, count: slack).allSatisfy { $0 == Self.slackByte }
    #expect(isIntact, "the memory before a buffer was written")
    munmap(mapping, length)
  }

  var values: [Element] { Array(elements) }
  var pointer: UnsafeMutablePointer<Element> { elements.baseAddress! }
}

extension GuardedBuffer where Element == Float {
  /// For `count` results that are yet to be written: NaN, which no comparison takes for one.
  init(unwritten count: Int) {
    self.init([Float](repeating: .nan, count: count))
  }
}
