// SPDX-License-Identifier: Apache-2.0
package menagerie.clients;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;

/**
 * The service under test: as many servers as the system property {@code servers} says, each the
 * command in {@code server.command} with the path of a generated zoo.cfg appended.
 */
final class Server implements AutoCloseable {
    static final int TICK_MILLIS = 250;
    /** The digest of super:test. */
    private static final String SUPER = "super:D/InIHSb7yEEbrWz8b9l71RjZJU=";
    private static final Set<Integer> TAKEN = new HashSet<>();
    private static Server shared;

    private final List<Member> members = new ArrayList<>();

    Server(String... config) {
        List<String> lines = new ArrayList<>(Arrays.asList(config));
        int count = Integer.getInteger("servers", 1);
        for (int number = 1; number <= count && count > 1; number++) {
            lines.add("server." + number + "=127.0.0.1:" + freePort() + ":" + freePort());
        }
        for (int number = 1; number <= count; number++) {
            members.add(new Member(number, lines));
        }
        Runtime.getRuntime().addShutdownHook(new Thread(this::close));
    }

    /** The one that most tests share, with what is off by default turned on. */
    static synchronized Server shared() {
        if (shared == null) {
            Server server = new Server("extendedTypesEnabled=true", "enforceQuota=true");
            server.start();
            shared = server;
        }
        return shared;
    }

    String connectString() {
        return members.stream()
                .map(member -> "127.0.0.1:" + member.port)
                .collect(Collectors.joining(","));
    }

    /** The client port of one of the servers, always the same. */
    int port() {
        return members.get(0).port;
    }

    String fourLetters(String word) throws IOException {
        return members.get(0).fourLetters(word);
    }

    void start() {
        members.forEach(Member::start);
        members.forEach(Member::awaitStart);
    }

    /** SIGTERM, and the end of the processes. */
    void stop() {
        members.forEach(member -> member.process.destroy());
        members.forEach(Member::awaitEnd);
    }

    /** SIGKILL, and the end of the processes. */
    void kill() {
        members.forEach(member -> member.process.destroyForcibly());
        members.forEach(Member::awaitEnd);
    }

    @Override
    public synchronized void close() {
        members.forEach(Member::close);
    }

    /** One server: its port, its directory, and its process. */
    private static final class Member {
        private final int port = freePort();
        private final Path directory;
        private Process process;

        Member(int number, List<String> config) {
            List<String> lines = new ArrayList<>(config);
            try {
                directory = Files.createTempDirectory("java-clients-");
                Files.createDirectory(directory.resolve("data"));
                Files.writeString(directory.resolve("data/myid"), number + "\n");
                lines.add("tickTime=" + TICK_MILLIS);
                lines.add("initLimit=40");
                lines.add("syncLimit=20");
                lines.add("maxSessionTimeout=60000");
                lines.add("clientPort=" + port);
                lines.add("clientPortAddress=127.0.0.1");
                lines.add("dataDir=" + directory.resolve("data"));
                lines.add("maxClientCnxns=0");
                lines.add("admin.enableServer=false");
                lines.add("DigestAuthenticationProvider.superDigest=" + SUPER);
                Files.write(directory.resolve("zoo.cfg"), lines);
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }

        void start() {
            List<String> command = new ArrayList<>();
            command.addAll(Arrays.asList(System.getProperty("server.command").split(" +")));
            command.add(directory.resolve("zoo.cfg").toString());
            ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true);
            builder.redirectOutput(ProcessBuilder.Redirect.appendTo(log().toFile()));
            // Java reads how often empty containers are swept from its command line only.
            builder.environment().put("JVMFLAGS", "-Dznode.container.checkIntervalMs=200");
            try {
                process = builder.start();
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }

        void awaitStart() {
            long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(60);
            while (!serves()) {
                if (!process.isAlive() || System.nanoTime() > deadline) {
                    throw new IllegalStateException("no server: " + said());
                }
                pause(50);
            }
        }

        private boolean serves() {
            try {
                return fourLetters("srvr").startsWith("Zookeeper version");
            } catch (IOException e) {
                return false;
            }
        }

        String fourLetters(String word) throws IOException {
            try (Socket socket = new Socket()) {
                socket.connect(new InetSocketAddress("127.0.0.1", port), 5000);
                socket.setSoTimeout(5000);
                socket.getOutputStream().write(word.getBytes(StandardCharsets.US_ASCII));
                return new String(socket.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            }
        }

        void awaitEnd() {
            try {
                if (!process.waitFor(30, TimeUnit.SECONDS)) {
                    process.destroyForcibly();
                    throw new IllegalStateException("the server ignores SIGTERM");
                }
            } catch (InterruptedException e) {
                throw new IllegalStateException(e);
            }
        }

        private Path log() {
            return directory.resolve("server.log");
        }

        private String said() {
            try {
                return Files.readString(log());
            } catch (IOException e) {
                return e.toString();
            }
        }

        void close() {
            if (process != null) {
                process.destroyForcibly();
                awaitEnd();
                process = null;
            }
            try (var files = Files.walk(directory)) {
                files.sorted(Comparator.reverseOrder()).forEach(file -> file.toFile().delete());
            } catch (IOException | UncheckedIOException e) {
                // A second close finds nothing.
            }
        }
    }

    static void pause(long millis) {
        try {
            Thread.sleep(millis);
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    /**
     * Below the ephemeral range: a client that dials a stopped server cannot meet itself. None is
     * given twice.
     */
    private static synchronized int freePort() {
        while (true) {
            int port = ThreadLocalRandom.current().nextInt(12000, 30000);
            if (!TAKEN.add(port)) {
                continue;
            }
            try (ServerSocket probe = new ServerSocket()) {
                probe.bind(new InetSocketAddress("127.0.0.1", port));
                return port;
            } catch (IOException e) {
                // Taken: try another.
            }
        }
    }
}
