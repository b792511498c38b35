import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.ByteArrayOutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Base64;
import org.apache.avro.AvroRuntimeException;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;

/**
 * Writes records by writers' schemas, and reads them by the schema of the source event.
 *
 * Each line of the first argument's file is an object: `writer` and `reader` are schemas, `record` is a record in Avro's
 * JSON encoding. Prints a line for each: `datum` in base64, the same written in blocks with their sizes, and `read`, the
 * record as the reader has it, or null if Java can't resolve the schemas.
 */
public class Compare {
    public static void main(String[] arguments) throws Exception {
        var json = new ObjectMapper();
        for (var line : Files.readAllLines(Path.of(arguments[0]))) {
            var asked = json.readTree(line);
            var writer = new Schema.Parser().parse(asked.get("writer").asText());
            var reader = new Schema.Parser().parse(asked.get("reader").asText());
            var decoder = DecoderFactory.get().jsonDecoder(writer, asked.get("record").asText());
            GenericRecord record = new GenericDatumReader<GenericRecord>(writer).read(null, decoder);
            var answer = json.createObjectNode();
            var datum = write(writer, record, false);
            answer.put("datum", Base64.getEncoder().encodeToString(datum));
            answer.put("blocks", Base64.getEncoder().encodeToString(write(writer, record, true)));
            try {
                var resolving = new GenericDatumReader<GenericRecord>(writer, reader);
                var read = resolving.read(null, DecoderFactory.get().binaryDecoder(datum, null));
                answer.put("read", read.toString());
            } catch (AvroRuntimeException unresolvable) {
                answer.putNull("read");
            }
            System.out.println(answer);
        }
    }

    private static byte[] write(Schema schema, GenericRecord record, boolean blocks) throws Exception {
        var bytes = new ByteArrayOutputStream();
        var factory = new EncoderFactory().configureBlockSize(64);
        var encoder = blocks ? factory.blockingBinaryEncoder(bytes, null) : factory.binaryEncoder(bytes, null);
        new GenericDatumWriter<GenericRecord>(schema).write(record, encoder);
        encoder.flush();
        return bytes.toByteArray();
    }
}
