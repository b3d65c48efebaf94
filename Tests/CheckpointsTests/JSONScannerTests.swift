import Testing

@testable import Checkpoints

@Suite struct JSONScannerTests {
  private func accepts(_ text: some Sequence<UInt8>) -> Bool {
    var scanner = JSONScanner(Array(text))
    return (try? scanner.value()) != nil && (try? scanner.expectEnd()) != nil
  }

  @Test(arguments: [
    "0", "-0", "12", "-1.5", "1e3", "1E+3", "2.5e-7", "true", "false", "null", "NaN", "Infinity", "-Infinity", "\"\"",
    "[]", "{}", " [ 1 , [ ] , { \"a\" : null } ]\n", #""\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00""#, "\"é\u{1F600}\u{7F}\"",
  ])
  func values(_ text: String) {
    #expect(accepts(text.utf8))
  }

  @Test(arguments: [
    "", " ", "01", "-", "+1", ".5", "1.", "1e", "1e+", "0x10", "1_0", "tru", "True", "nan", "-NaN", "'a'", "[1,]",
    "[,1]", "[1 2]", "[", "{", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{a:1}", "{\"a\" 1}", "[1] 2", "1 // one", "\"a",
    "\"\\x\"", "\"\\u12\"", "\"\\u12g4\"", "\"\\ud800\"", "\"\\ud800x\"", "\"\\udc00\"", "\"\\ud800\\u0041\"",
    "\"a\nb\"", "\"\u{0}\"", #"{"a":1,"a":2}"#, #"{"a":1,"\u0061":2}"#, #"[{"a":{"b":1,"b":1}}]"#, "]", "\u{FEFF}1",
  ])
  func deviations(_ text: String) {
    #expect(!accepts(text.utf8))
  }

  @Test func utf8IsChecked() {
    #expect(!accepts([0x22, 0xFF, 0x22]))
    #expect(!accepts([0x22, 0xC0, 0x80, 0x22]))
    #expect(!accepts([0x22, 0xED, 0xA0, 0x80, 0x22]))
  }

  /// Keys are compared as bytes, not as Swift compares strings.
  @Test func canonicallyEquivalentKeysDiffer() {
    #expect(accepts("{\"\u{E9}\":1,\"e\u{301}\":2}".utf8))
  }

  @Test func escapesAreResolved() throws {
    var scanner = JSONScanner(Array(#""\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00""#.utf8))
    #expect(try scanner.string() == "\"\\/\u{08}\u{0C}\n\r\té😀")
  }

  @Test(arguments: [("0", 0), ("7", 7), ("9223372036854775807", Int.max)])
  func naturalNumbers(text: String, number: Int) throws {
    var scanner = JSONScanner(Array(text.utf8))
    #expect(try scanner.naturalNumber() == number)
  }

  @Test(arguments: [
    "-1", "+1", "00", "01", "1.0", "1e3", "9223372036854775808", "99999999999999999999", "\"1\"", "", "x",
  ])
  func noNaturalNumbers(_ text: String) {
    var scanner = JSONScanner(Array(text.utf8))
    #expect(throws: JSONScanner.Failure.self) { try scanner.naturalNumber() }
  }

  @Test func nestingIsBounded() {
    let deepest = JSONScanner.maximumDepth
    func nested(_ depth: Int) -> String {
      String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
    }
    #expect(accepts(nested(deepest).utf8))
    #expect(!accepts(nested(deepest + 1).utf8))
    #expect(!accepts(String(repeating: "[{\"a\":", count: 1_000_000).utf8))
  }

  @Test func failuresNameTheKey() {
    var scanner = JSONScanner(Array(#"{"a": {"b": [1, {"c": tru}]}}"#.utf8))
    let failure = #expect(throws: JSONScanner.Failure.self) { try scanner.value() }
    #expect(failure?.key == "a.b.c")
  }

  /// Truncating or damaging a document never does worse than fail.
  @Test func damagedDocuments() {
    let document = Array(#"{"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"é":"\ud83d\ude00"}"#.utf8)
    var generator = Generator(state: 1)
    for length in 0..<document.count { #expect(!accepts(document.prefix(length))) }
    for _ in 0..<5000 {
      var damaged = document
      for _ in 0..<Int.random(in: 1...3, using: &generator) {
        damaged[Int.random(in: 0..<damaged.count, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
      }
      _ = accepts(damaged)
    }
  }
}
