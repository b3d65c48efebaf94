/// A binary heap that gives up its least element first.
struct MinimumHeap<Element: Comparable> {
  private var elements: [Element] = []

  mutating func insert(_ element: Element) {
    elements.append(element)
    var child = elements.count - 1
    while child > 0, elements[child] < elements[(child - 1) / 2] {
      elements.swapAt(child, (child - 1) / 2)
      child = (child - 1) / 2
    }
  }

  mutating func popMinimum() -> Element? {
    guard let last = elements.indices.last else { return nil }
    elements.swapAt(0, last)
    let minimum = elements.removeLast()
    var parent = 0
    while let child = leastChild(of: parent), elements[child] < elements[parent] {
      elements.swapAt(parent, child)
      parent = child
    }
    return minimum
  }

  private func leastChild(of parent: Int) -> Int? {
    let left = 2 * parent + 1
    guard left + 1 < elements.count else { return left < elements.count ? left : nil }
    return elements[left] < elements[left + 1] ? left : left + 1
  }
}
