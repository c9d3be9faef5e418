// Anonymizes a CSV with ARX, for benchmarks/anonymize.py: data, hierarchies' folder, out, k, limit, how, quasi-identifiers.

import java.io.File;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HashSet;
import java.util.Set;
import org.deidentifier.arx.ARXAnonymizer;
import org.deidentifier.arx.ARXConfiguration;
import org.deidentifier.arx.ARXResult;
import org.deidentifier.arx.AttributeType;
import org.deidentifier.arx.Data;
import org.deidentifier.arx.DataHandle;
import org.deidentifier.arx.criteria.KAnonymity;
import org.deidentifier.arx.io.CSVHierarchyInput;
import org.deidentifier.arx.metric.Metric;
import org.deidentifier.arx.metric.Metric.AggregateFunction;

public final class Arx {
    private static final double ROUNDS = 0.01; // of the rows, that each round of local recoding must cover: ARX's own example

    public static void main(String[] given) throws Exception {
        boolean local = given[5].equals("local");
        Data data = Data.create(given[0], StandardCharsets.UTF_8, ';');
        Set<String> quasi = new HashSet<>(Arrays.asList(given).subList(6, given.length));
        DataHandle handle = data.getHandle();
        for (int place = 0; place < handle.getNumColumns(); place++) {
            String name = handle.getAttributeName(place);
            data.getDefinition().setAttributeType(name, quasi.contains(name) ? hierarchy(given[1], name)
                : AttributeType.INSENSITIVE_ATTRIBUTE);
        }
        ARXConfiguration wanted = ARXConfiguration.create();
        wanted.addPrivacyModel(new KAnonymity(Integer.parseInt(given[3])));
        wanted.setSuppressionLimit(local ? 1d : Double.parseDouble(given[4]));
        wanted.setQualityModel(Metric.createLossMetric(local ? 0d : 0.5d, AggregateFunction.ARITHMETIC_MEAN));
        long started = System.nanoTime();
        ARXResult found = new ARXAnonymizer().anonymize(data, wanted);
        DataHandle output = found.getOutput();
        if (local) {
            found.optimizeIterativeFast(output, ROUNDS);
        }
        System.out.println((System.nanoTime() - started) / 1e9);
        output.save(new File(given[2]), ';');
    }

    private static AttributeType hierarchy(String folder, String name) throws Exception {
        File file = new File(folder, "adult_hierarchy_" + name + ".csv");
        return AttributeType.Hierarchy.create(new CSVHierarchyInput(file, StandardCharsets.UTF_8, ';').getHierarchy());
    }
}
