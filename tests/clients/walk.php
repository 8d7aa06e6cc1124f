<?php
// Send a story through a generated PHP client: php walk.php FOLDER < plan.json. As walk.py does for Python; see there.
declare(strict_types=1);

require '/usr/share/php/GuzzleHttp/autoload.php';
error_reporting(E_ALL);
set_error_handler(function (int $kind, string $text, string $file, int $line): bool {
    throw new ErrorException($text, 0, $kind, $file, $line);
});
$folder = $argv[1];
spl_autoload_register(function (string $name) use ($folder): void {
    $file = $folder . '/lib/' . str_replace(['OpenAPI\\Client\\', '\\'], ['', '/'], $name) . '.php';
    if (is_file($file)) {
        require $file;
    }
});

function filled(mixed $value, array $variables): mixed
{
    if (is_array($value)) {
        return array_map(fn ($inner) => filled($inner, $variables), $value);
    }
    if (!is_string($value)) {
        return $value;
    }
    if (preg_match('/^\{\{#(\w+)\}\}$/', $value, $whole)) {
        return $variables[$whole[1]] + 0;
    }
    $made = ['$guid' => bin2hex(random_bytes(16)), '$timestamp' => time(), '$randomInt' => random_int(0, 999)];
    return preg_replace_callback('/\{\{([$\w]+)\}\}/', fn ($m) => (string) ($made[$m[1]] ?? $variables[$m[1]]), $value);
}

function found(mixed $answer, string $path): mixed
{
    preg_match_all('/\w+/', $path, $names);
    foreach ($names[0] as $name) {
        $answer = $answer[$name];
    }
    return $answer;
}

function plain(string $name): string
{
    return preg_replace('/[^a-z0-9]/', '', strtolower($name));
}

$plan = json_decode(stream_get_contents(STDIN), true);
$variables = $plan['variables'];
$classes = array_map(fn ($file) => 'OpenAPI\\Client\\Api\\' . basename($file, '.php'), glob("$folder/lib/Api/*Api.php"));
foreach ($plan['steps'] as $step) {
    foreach ($step['makes'] as $name => $text) {
        $variables[$name] = filled($text, $variables);
    }
    $configuration = (new OpenAPI\Client\Configuration())->setHost($plan['address']);
    if (!$step['keyless']) {
        $configuration->setApiKey($plan['header'], $plan['key']);
        if ($plan['prefix']) {
            $configuration->setApiKeyPrefix($plan['header'], $plan['prefix']);
        }
    }
    if ($step['bearer']) {
        $configuration->setAccessToken(filled($step['bearer'], $variables));
    }
    $method = lcfirst(str_replace('_', '', ucwords($step['operation'], '_'))) . 'WithHttpInfo';
    foreach ($classes as $class) {
        if (method_exists($class, $method)) {
            break;
        }
    }
    $given = [];
    foreach (filled($step['values'], $variables) as $name => $value) {
        $given[plain($name)] = $value;
    }
    if ($step['body'] !== null) {
        $body = filled($step['body'], $variables);
        if ($step['form']) {
            $text = json_encode($body);
            $given[plain($step['form'])] = OpenAPI\Client\ObjectSerializer::deserialize($text, '\\OpenAPI\\Client\\Model\\' . $step['form']);
        } else {
            foreach ($body as $name => $value) {
                $given[plain($name)] = $value;
            }
        }
    }
    $arguments = [];
    foreach ((new ReflectionMethod($class, $method))->getParameters() as $parameter) {
        if (array_key_exists(plain($parameter->getName()), $given)) {
            $arguments[$parameter->getName()] = $given[plain($parameter->getName())];
        }
    }
    $api = new $class(new GuzzleHttp\Client(['timeout' => 30]), $configuration);
    try {
        [$answer, $status] = $api->$method(...$arguments);
    } catch (OpenAPI\Client\ApiException $refusal) {
        [$answer, $status] = [$refusal->getResponseObject(), $refusal->getCode()];
    }
    if ($status !== $step['status'] || !is_object($answer) || $answer instanceof stdClass) {
        throw new Exception("{$step['name']}: $status " . json_encode($answer));
    }
    if (!$answer->valid()) {
        throw new Exception("{$step['name']}: " . implode('; ', $answer->listInvalidProperties()));
    }
    $data = json_decode(json_encode(OpenAPI\Client\ObjectSerializer::sanitizeForSerialization($answer)), true);
    foreach ($step['keeps'] as $name => $path) {
        $variables[$name] = found($data, $path);
    }
    echo json_encode(['name' => $step['name'], 'status' => $status, 'type' => get_class($answer)]), "\n";
}
