/// The printable characters that stand for the 256 bytes in the vocabularies of GPT-2 and CLIP.
///
/// Printable Latin-1 stands for itself; the other 68 bytes, in ascending order, take the code points from U+0100 up.
/// Source: `bytes_to_unicode` in the GPT-2 and CLIP releases.
enum ByteAlphabet {
  /// The character of each byte.
  static let characters: [Unicode.Scalar] = {
    var next = UInt32(0x100)
    return (UInt8.min...UInt8.max).map { byte in
      switch byte {
      case 0x21...0x7E, 0xA1...0xAC, 0xAE...0xFF: return Unicode.Scalar(byte)
      default:
        defer { next += 1 }
        return Unicode.Scalar(next) ?? Unicode.Scalar(byte)
      }
    }
  }()

  /// The byte of each character.
  static let bytes = Dictionary(uniqueKeysWithValues: zip(characters, UInt8.min...UInt8.max))
}
