/// The element types of a safetensors file that fill whole bytes, by the names the format gives them.
///
/// Source: the safetensors format description, github.com/huggingface/safetensors.
public enum TensorDataType: String, CaseIterable, Hashable, Sendable, Codable {
  case float64 = "F64"
  case float32 = "F32"
  case float16 = "F16"
  case bfloat16 = "BF16"
  case float8E5M2 = "F8_E5M2"
  case float8E4M3 = "F8_E4M3"
  case float8E8M0 = "F8_E8M0"
  case complex64 = "C64"
  case int64 = "I64"
  case int32 = "I32"
  case int16 = "I16"
  case int8 = "I8"
  case uint64 = "U64"
  case uint32 = "U32"
  case uint16 = "U16"
  case uint8 = "U8"
  case bool = "BOOL"

  /// The size of one element in bytes.
  public var byteCount: Int {
    switch self {
    case .float64, .int64, .uint64, .complex64: 8
    case .float32, .int32, .uint32: 4
    case .float16, .bfloat16, .int16, .uint16: 2
    case .float8E5M2, .float8E4M3, .float8E8M0, .int8, .uint8, .bool: 1
    }
  }
}
