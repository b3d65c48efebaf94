import Tensors

/// Values by their keys, in at most so many bytes: what was used longest ago goes first.
///
/// Safe from any number of threads. What is computed for a key must depend on nothing else: two threads that miss the
/// same key at once both compute it, and either result may stay.
public final class LRUCache<Key: Hashable & Sendable, Value: Sendable>: Sendable {
  private struct Entry {
    var value: Value
    var bytes: Int
    /// When it was last used, in uses of the cache.
    var stamp: UInt64
  }

  private struct Contents {
    var entries: [Key: Entry] = [:]
    var clock: UInt64 = 0
    var statistics: CacheStatistics

    mutating func tick() -> UInt64 {
      clock += 1
      return clock
    }

    /// A scan for each eviction: entries are large, and so they are few.
    mutating func shrink() {
      while statistics.bytes > statistics.byteLimit,
        let oldest = entries.min(by: { $0.value.stamp < $1.value.stamp })
      {
        remove(oldest.key)
        statistics.evictions += 1
      }
    }

    mutating func remove(_ key: Key) {
      guard let entry = entries.removeValue(forKey: key) else { return }
      statistics.bytes -= entry.bytes
      statistics.count -= 1
    }
  }

  private let contents: Lock<Contents>

  /// - Parameter byteLimit: 0 keeps nothing.
  public init(byteLimit: Int) {
    contents = Lock(Contents(statistics: CacheStatistics(byteLimit: max(byteLimit, 0))))
  }

  public var statistics: CacheStatistics { contents.withLock { $0.statistics } }

  /// A lower limit evicts at once.
  public var byteLimit: Int {
    get { contents.withLock { $0.statistics.byteLimit } }
    set {
      contents.withLock {
        $0.statistics.byteLimit = max(newValue, 0)
        $0.shrink()
      }
    }
  }

  /// The value of a key, which counts as a hit or a miss.
  public subscript(key: Key) -> Value? {
    contents.withLock { contents in
      guard contents.entries[key] != nil else {
        contents.statistics.misses += 1
        return nil
      }
      contents.statistics.hits += 1
      let stamp = contents.tick()
      contents.entries[key]!.stamp = stamp
      return contents.entries[key]!.value
    }
  }

  /// Keeps a value, unless it alone is larger than the limit.
  ///
  /// - Parameter bytes: what the value and its key take.
  public func insert(_ value: Value, for key: Key, bytes: Int) {
    contents.withLock { contents in
      contents.remove(key)
      guard bytes <= contents.statistics.byteLimit else { return }
      contents.entries[key] = Entry(value: value, bytes: bytes, stamp: contents.tick())
      contents.statistics.bytes += bytes
      contents.statistics.count += 1
      contents.shrink()
    }
  }

  /// Forgets all values; the counts of hits, misses and evictions go on.
  public func removeAll() {
    contents.withLock { contents in
      contents.entries.removeAll()
      (contents.statistics.count, contents.statistics.bytes) = (0, 0)
    }
  }
}

/// What a cache holds and how it has done.
public struct CacheStatistics: Hashable, Sendable, Codable {
  public internal(set) var count = 0
  public internal(set) var bytes = 0
  public internal(set) var byteLimit: Int
  public internal(set) var hits = 0
  public internal(set) var misses = 0
  /// Values that went because there was no room.
  public internal(set) var evictions = 0
}
